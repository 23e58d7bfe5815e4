package control

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const tokenBytes = 32 // 64 hexadecimal digits in the file

// LoadToken reads the token that callers over TCP show.
func LoadToken(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, 4*tokenBytes))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if decoded, err := hex.DecodeString(token); err != nil || len(decoded) != tokenBytes {
		return "", fmt.Errorf("%s: want %d hexadecimal digits; remove the file and a new token is drawn", path, 2*tokenBytes)
	}
	return token, nil
}

// loadOrCreateToken draws a token where there is none, readable by its owner
// alone. The file appears whole or not at all, and is never replaced.
func loadOrCreateToken(path string) (string, error) {
	token, err := LoadToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".token-*") // 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	raw := make([]byte, tokenBytes)
	_, _ = rand.Read(raw) // never fails
	_, err = fmt.Fprintln(tmp, hex.EncodeToString(raw))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("write token: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("write token: %w", err)
	}
	return LoadToken(path)
}

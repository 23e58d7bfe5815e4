package git

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Format is the hash function that names the objects of a repository.
type Format string

// The two formats.
const (
	SHA1   Format = "sha1"
	SHA256 Format = "sha256"
)

// ParseFormat accepts the names that git itself uses.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case SHA1, SHA256:
		return f, nil
	}
	return "", fmt.Errorf("object format %q: only sha1 and sha256 are known", s)
}

// RawLen is the length of an object ID in bytes; 0 for an unknown format.
func (f Format) RawLen() int {
	switch f {
	case SHA1:
		return 20
	case SHA256:
		return 32
	}
	return 0
}

// Null is the hex ID of no object, as git writes it in this format.
func (f Format) Null() string { return strings.Repeat("0", 2*f.RawLen()) }

// OID is an object ID of either format. Two are equal if and only if == says
// so. The zero value stands for no object; git's all-zero IDs parse to it.
type OID struct{ raw string }

// FromBytes takes 20 or 32 raw bytes. No bytes are the zero OID.
func FromBytes(b []byte) (OID, error) {
	switch len(b) {
	case 0, 20, 32:
	default:
		return OID{}, fmt.Errorf("object id of %d bytes", len(b))
	}
	if isNull(b) {
		return OID{}, nil
	}
	return OID{string(b)}, nil
}

func isNull(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// ParseOID takes 40 or 64 hex digits.
func ParseOID(s string) (OID, error) {
	if len(s) != 40 && len(s) != 64 {
		return OID{}, fmt.Errorf("object id %q: not 40 or 64 hex digits", clip(s, 80))
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return OID{}, fmt.Errorf("object id %q: %w", s, err)
	}
	return FromBytes(raw)
}

// IsZero says that o stands for no object.
func (o OID) IsZero() bool { return o.raw == "" }

// Bytes is the raw ID, nil for the zero OID.
func (o OID) Bytes() []byte {
	if o.raw == "" {
		return nil
	}
	return []byte(o.raw)
}

// Format says which hash o comes from; empty for the zero OID.
func (o OID) Format() Format {
	switch len(o.raw) {
	case 20:
		return SHA1
	case 32:
		return SHA256
	}
	return ""
}

// String is o in hex. The zero OID is written as SHA-1's null ID.
func (o OID) String() string {
	if o.raw == "" {
		return SHA1.Null()
	}
	return hex.EncodeToString([]byte(o.raw))
}

func (o OID) appendHex(dst []byte) []byte { return hex.AppendEncode(dst, []byte(o.raw)) }

// clip shortens what came from outside before it goes into a message.
func clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return s[:max] + "..."
}

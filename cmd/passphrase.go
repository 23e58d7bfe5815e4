package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"peer/identity"
)

const (
	passphraseBytesMax = 1024
	// passphraseTries is how often a person may mistype.
	passphraseTries = 3
)

// openKey decrypts a private key with a passphrase from --passphrase-file, or
// from whoever sits at the terminal.
func (h *Home) openKey(raw []byte, path string) (identity.Key, error) {
	for try := 1; ; try++ {
		passphrase, err := h.passphrase("Passphrase of " + path + ": ")
		if err != nil {
			return identity.Key{}, hinted(identity.Locked("%s is encrypted: %w", path, err), unlockHint(path))
		}
		key, err := identity.ParsePrivateKey(raw, passphrase)
		clear(passphrase)
		if !errors.Is(err, identity.ErrPassphrase) {
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			return key, err
		}
		if h.PassphraseFile != "" || try == passphraseTries {
			return key, hinted(identity.Locked("%s: %w", path, err), unlockHint(path))
		}
	}
}

func unlockHint(path string) string {
	return "have an ssh-agent keep it: ssh-add " + shellQuote(path) + "; or name a file with the passphrase: PEER_PASSPHRASE_FILE=FILE"
}

// passphrase is the one of this command, never empty. The caller clears it.
func (h *Home) passphrase(prompt string) ([]byte, error) {
	if h.PassphraseFile != "" {
		return readPassphraseFile(h.PassphraseFile)
	}
	return askTerminal(prompt)
}

// newPassphrase asks twice, since a slip would lock its owner out.
func (h *Home) newPassphrase() ([]byte, error) {
	first, err := h.passphrase("New passphrase: ")
	if err != nil || h.PassphraseFile != "" {
		return first, err
	}
	second, err := askTerminal("The same again: ")
	if err != nil {
		return nil, err
	}
	defer clear(second)
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passphrases differ")
	}
	return first, nil
}

// readPassphraseFile takes the first line.
func readPassphraseFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("passphrase file: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, passphraseBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("passphrase file: %w", err)
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 || len(line) > passphraseBytesMax {
		return nil, fmt.Errorf("passphrase file %s: its first line has no bytes, or more than %d", path, passphraseBytesMax)
	}
	return line, nil
}

// errNoTerminal says that there is nobody to ask.
var errNoTerminal = errors.New("there is no terminal to ask for the passphrase")

// errInterrupted says that who was asked interrupted instead.
var errInterrupted = errors.New("interrupted")

// askTerminal reads a line from the terminal of this process without showing it.
// Stdin is not asked: of a remote helper it belongs to git.
func askTerminal(prompt string) ([]byte, error) {
	if os.Getenv("GIT_TERMINAL_PROMPT") == "0" { // whoever runs git does not want to be asked
		return nil, errNoTerminal
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, errNoTerminal
	}
	defer tty.Close()
	restore, err := hideInput(tty)
	if err != nil {
		return nil, errNoTerminal
	}
	defer restore()
	// An interrupt must not leave the terminal mute.
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(interrupted)
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-interrupted:
			_ = tty.SetReadDeadline(time.Now())
		case <-answered:
		}
	}()
	_, _ = io.WriteString(tty, prompt)
	line, err := readLine(tty)
	_, _ = io.WriteString(tty, "\n") // since the person's own was not shown
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errInterrupted
	case err == nil && len(line) == 0:
		err = errors.New("no passphrase was given")
	}
	return line, err
}

func readLine(from io.Reader) ([]byte, error) {
	line, one := make([]byte, 0, passphraseBytesMax), make([]byte, 1)
	for len(line) < passphraseBytesMax {
		if _, err := from.Read(one); err != nil {
			clear(line)
			return nil, fmt.Errorf("read the passphrase: %w", err)
		}
		if one[0] == '\n' || one[0] == '\r' {
			return line, nil
		}
		line = append(line, one[0])
	}
	clear(line)
	return nil, fmt.Errorf("a passphrase of more than %d bytes", passphraseBytesMax)
}

// hideInput turns the echo off until restore.
func hideInput(tty *os.File) (restore func(), err error) {
	conn, err := tty.SyscallConn()
	if err != nil {
		return nil, err
	}
	var before unix.Termios
	set := func(t *unix.Termios) error {
		var failed error
		err := conn.Control(func(fd uintptr) { failed = unix.IoctlSetTermios(int(fd), ioctlSetTermios, t) })
		return errors.Join(err, failed)
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		var t *unix.Termios
		if t, failed = unix.IoctlGetTermios(int(fd), ioctlGetTermios); failed == nil {
			before = *t
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, err
	}
	mute := before
	mute.Lflag &^= unix.ECHO
	mute.Lflag |= unix.ICANON | unix.ISIG
	mute.Iflag |= unix.ICRNL
	return func() { _ = set(&before) }, set(&mute)
}

// isTerminal says whether a person may be watching w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), ioctlGetTermios)
	return err == nil
}

package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"peer/identity"
)

// testPassphrase, and all that is mistyped for it, has a word that nothing else shows.
const testPassphrase = "correct horse battery"

// terminal is a pseudo terminal, with this binary as peer at it.
type terminal struct {
	t           *testing.T
	master, tty *os.File
	shown       bytes.Buffer
	before      unix.Termios

	peer        *exec.Cmd
	out, stderr bytes.Buffer
}

// at starts peer in a session whose terminal is a new one. Stdin is not that: of a
// remote helper it belongs to git.
func at(t *testing.T, home string, args ...string) *terminal {
	t.Helper()
	s := &terminal{t: t}
	var err error
	if s.master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { s.master.Close() })
	number, err := unix.IoctlGetInt(int(s.master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(s.master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		s.tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.tty.Close() })
	s.before = s.mode()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // mute terminals hang
	t.Cleanup(cancel)
	s.peer = exec.CommandContext(ctx, self, args...)
	s.peer.Args[0] = "peer"
	s.peer.Env = append(os.Environ(), "PEER_HOME="+home, "PEER_PASSPHRASE_FILE=", "GIT_TERMINAL_PROMPT=1", "SSH_AUTH_SOCK=")
	s.peer.Stdout, s.peer.Stderr = &s.out, &s.stderr
	s.peer.ExtraFiles = []*os.File{s.tty}
	s.peer.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := s.peer.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *terminal) mode() unix.Termios {
	s.t.Helper()
	mode, err := unix.IoctlGetTermios(int(s.tty.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *mode
}

// asks waits until the terminal shows a text that many times.
func (s *terminal) asks(text string, times int) {
	s.t.Helper()
	if err := s.master.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	piece := make([]byte, 1024)
	for strings.Count(s.shown.String(), text) < times {
		n, err := s.master.Read(piece)
		s.shown.Write(piece[:n])
		if err != nil {
			s.t.Fatalf("%v; the terminal shows %q, and peer says %s", err, &s.shown, &s.stderr)
		}
	}
	if mode := s.mode(); mode.Lflag&unix.ECHO != 0 {
		s.t.Error("what is typed would be shown")
	}
}

func (s *terminal) types(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// exits waits for the end, and looks at what is left of the terminal.
func (s *terminal) exits(code int) *terminal {
	s.t.Helper()
	err := s.peer.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || s.peer.ProcessState.ExitCode() != code {
		s.t.Errorf("exit code %d, want %d: %v\n%s%s", s.peer.ProcessState.ExitCode(), code, err, &s.out, &s.stderr)
	}
	if after := s.mode(); after != s.before {
		s.t.Errorf("the terminal was in mode %+v, and is in %+v", s.before, after)
	}
	s.tty.Close() // so that reading comes to an end
	_, _ = s.shown.ReadFrom(s.master)
	if strings.Contains(s.shown.String(), "horse") {
		s.t.Errorf("the terminal shows what was typed: %q", &s.shown)
	}
	return s
}

// sealedKeyFile is a key that testPassphrase opens; making one takes its time, on purpose.
var sealedKeyFile = sync.OnceValues(func() ([]byte, error) {
	return identity.MarshalPrivateKey(identity.KeyFromSeed([32]byte{21}), "", []byte(testPassphrase))
})

// sealedHome is a home whose user's key has a passphrase.
func sealedHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	raw, err := sealedKeyFile()
	if err == nil {
		err = os.WriteFile(filepath.Join(home, keyFile), raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// TestPassphrasePrompt types at a real terminal.
func TestPassphrasePrompt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		typed []string // one after each prompt
		code  int
		says  []string
	}{
		"right":               {[]string{testPassphrase + "\n"}, exitOK, nil},
		"at the second try":   {[]string{"a horse\n", testPassphrase + "\r"}, exitOK, nil},
		"mended":              {[]string{"a horse\x15" + testPassphrase + "x\x7f\n"}, exitOK, nil}, // ^U, and a backspace
		"wrong":               {[]string{"horse 1\n", "horse 2\n", "horse 3\n"}, exitFailed, []string{"peer: error: ", "user.key: the passphrase is wrong\n", "peer: hint: have an ssh-agent keep it: ssh-add "}},
		"none":                {[]string{"\n"}, exitFailed, []string{"is encrypted: no passphrase was given\n"}},
		"end of file":         {[]string{"\x04"}, exitFailed, []string{"is encrypted: read the passphrase: EOF\n"}},
		"interrupted":         {[]string{"correct h\x03"}, exitInterrupted, nil},
		"interrupted at once": {[]string{"\x03"}, exitInterrupted, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := sealedHome(t)
			s := at(t, home, "id", "decrypt")
			for i, typed := range c.typed {
				s.asks("Passphrase of "+filepath.Join(home, keyFile)+": ", i+1)
				s.types(typed)
			}
			s.exits(c.code)
			for _, text := range c.says {
				if !strings.Contains(s.stderr.String(), text) {
					t.Errorf("it says\n%s, want %q", &s.stderr, text)
				}
			}
			if len(c.says) == 0 && s.stderr.Len() > 0 {
				t.Errorf("it says\n%s", &s.stderr)
			}
			raw, err := os.ReadFile(filepath.Join(home, keyFile))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := identity.ParsePrivateKey(raw, nil); (err == nil) != (c.code == exitOK) {
				t.Errorf("the key is opened: %v", err)
			}
		})
	}
}

// TestNewPassphrasePrompt chooses a passphrase, which is asked for twice.
func TestNewPassphrasePrompt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		again string
		code  int
	}{"the same": {testPassphrase, exitOK}, "another": {"another horse", exitFailed}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			s := at(t, home, "id", "rotate", "--encrypt")
			s.asks("New passphrase: ", 1)
			s.types(testPassphrase + "\n")
			s.asks("The same again: ", 1)
			s.types(c.again + "\n")
			if s.exits(c.code); c.code != exitOK {
				if !strings.Contains(s.stderr.String(), "the two passphrases differ") {
					t.Errorf("it says\n%s", &s.stderr)
				}
				return
			}
			raw, err := os.ReadFile(filepath.Join(home, keyFile))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := identity.ParsePrivateKey(raw, []byte(testPassphrase)); err != nil {
				t.Error(err)
			}
		})
	}
}

package identity

import (
	"errors"
	"fmt"
)

// Signer signs in the name of one key, wherever its private half is: in memory, in
// a file that a passphrase guards, in an ssh-agent. [Key] is one.
type Signer interface {
	// Public is the key that verifies what it signs. It asks nobody.
	Public() PublicKey
	// TrySign signs body in domain d. It may ask a person and take that long, and is
	// called from many goroutines. An error wraps [ErrLocked] where the private
	// key is out of reach now, and may not be at another time.
	TrySign(d Domain, body []byte) ([]byte, error)
}

// ErrLocked says that a private key is out of reach: nobody gave its passphrase,
// or the agent that has it does not answer.
var ErrLocked = errors.New("the private key is out of reach")

// Locked makes an error that is [ErrLocked] and says why in its own words.
func Locked(format string, args ...any) error { return &lockedError{fmt.Errorf(format, args...)} }

type lockedError struct{ error }

func (e *lockedError) Is(target error) bool { return target == ErrLocked }
func (e *lockedError) Unwrap() error        { return e.error }

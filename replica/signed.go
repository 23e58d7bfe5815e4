package replica

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// ErrSignature says that bytes are not signed by the key they name.
var ErrSignature = errors.New("signature does not match")

// Seal signs m for domain d.
func Seal(k identity.Signer, d identity.Domain, m proto.Message) (*wire.Signed, error) {
	body, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	public := k.Public()
	signature, err := k.TrySign(d, body)
	if err != nil {
		return nil, err
	}
	return &wire.Signed{Body: body, Signer: public[:], Signature: signature}, nil
}

// Open checks the signature of s in domain d, and only then decodes the body into m.
func Open(s *wire.Signed, d identity.Domain, m proto.Message) (identity.PublicKey, error) {
	signer, err := identity.ParsePublicKey(s.GetSigner())
	if err != nil {
		return signer, err
	}
	if !signer.Verify(d, s.GetBody(), s.GetSignature()) {
		return signer, fmt.Errorf("%s: %w", d, ErrSignature)
	}
	if err := proto.Unmarshal(s.GetBody(), m); err != nil {
		return signer, fmt.Errorf("%s: %w", d, err)
	}
	return signer, nil
}

package identity

import (
	"encoding/hex"
	"testing"
)

// vector was computed by a program of its own in another language, from RFC
// 8032, the multicodec table and the base58 of Bitcoin. The did:key of the seed
// of zeros is also in the examples of the did:key method, the public key of the
// first seed in RFC 8032.
type vector struct {
	seed, public, peer, did string
	repo                    string // ID of the repository called demo
	hello                   string // signature of abc in DomainHello
}

var vectors = []vector{
	{
		"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
		"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
		"12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV",
		"did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw",
		"6be30f187f0f2ea4e2aaab20886a5b4bfb7a9729a0afa81a65586ef44367d197",
		"5363540207387afb45432eb521193c39e712c67df7e58e18653c6de145a304870573f4469e057b3ddd8505be39a4dd46258e571841c77750e73c82ba98d38d09",
	},
	{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
		"12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
		"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
		"4d27c113b98cde56502da367b1eae045202d29f90f2637a89ca7d373d40bb267",
		"7563b86da55aaf977aa1e2dce8f5063a07fc1ddb18487f6d87cbbd974a853ef69b203b0ac98d3a9af5dc1d15cd7c44553d20a443b223deb5a8d861df38091f08",
	},
	{
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"76a1592044a6e4f511265bca73a604d90b0529d1df602be30a19a9257660d1f5",
		"12D3KooWHoSyTgntm77sXShoeX9uNkqKNMhHxKtskaHqnA54SrSG",
		"did:key:z6MknSLrJoTcukLrE435hVNQT4JUhbvWLX4kUzqkEStBU8Vi",
		"befa05d7eef28240d9603190666bec3ba6741618e6b79d9de464b874f2208cdc",
		"4338510b024fd6e4a49ca256296dff71e29d8707cc3615e8efe01ee7fc2bae8b3261e61116d9e35365cfad8a8369cffa3ac911658271f019945a1c9dde6b0303",
	},
}

func (v vector) key(t testing.TB) Key {
	t.Helper()
	raw, err := hex.DecodeString(v.seed)
	if err != nil {
		t.Fatal(err)
	}
	return KeyFromSeed([32]byte(raw))
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		k := v.key(t)
		public := k.Public()
		for what, got := range map[string][2]string{
			"public key":    {hex.EncodeToString(public[:]), v.public},
			"peer ID":       {k.PeerID().String(), v.peer},
			"did:key":       {public.DID(), v.did},
			"repository ID": {NewRepoID(public, "demo").String(), v.repo},
			"signature":     {hex.EncodeToString(k.Sign(DomainHello, []byte("abc"))), v.hello},
		} {
			if got[0] != got[1] {
				t.Errorf("seed %s: %s is %s, want %s", v.seed, what, got[0], got[1])
			}
		}
		for _, spelling := range []string{v.peer, v.did} {
			if owner, err := ParseOwner(spelling); err != nil || owner != public {
				t.Errorf("%s names %x, %v", spelling, owner, err)
			}
		}
		if p, err := ParsePeerID(v.peer); err != nil || p != k.PeerID() {
			t.Errorf("%s is %s, %v", v.peer, p, err)
		}
		if back, err := k.PeerID().PublicKey(); err != nil || back != public {
			t.Errorf("peer ID of %x names %x, %v", public, back, err)
		}
	}
}

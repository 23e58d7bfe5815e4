package cmd

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"peer/identity"
)

// accept says whose repositories a node takes when others ask it to. The zero
// value is everybody's.
type accept struct {
	home   *Home // of known, whose petnames may change while the node runs
	owners []identity.PublicKey
	known  bool
}

const (
	acceptAll   = "all"
	acceptKnown = "known"
)

// parseAccept reads --accept. Nothing means all in a closed network, whose nodes
// were let in, and known in an open one.
func parseAccept(home *Home, words []string, closed bool) (accept, error) {
	if len(words) == 0 && !closed {
		words = []string{acceptKnown}
	}
	a := accept{home: home}
	for _, word := range words {
		switch word {
		case acceptAll:
			if len(words) > 1 {
				return a, usage("--accept all, or those whom you mean", "--accept: all, and %d more", len(words)-1)
			}
			return accept{}, nil
		case acceptKnown:
			a.known = true
		default:
			key, err := home.ParseOwner(word)
			if err != nil {
				return a, usage("all, known, or did:keys, peer IDs and petnames", "--accept %.100s: %w", word, err)
			}
			a.owners = append(a.owners, key)
		}
	}
	if len(words) == 0 {
		return accept{}, nil
	}
	return a, nil
}

// hosts is nil where everybody's repositories are taken.
func (a accept) hosts() func(identity.PublicKey) bool {
	if a.home == nil {
		return nil
	}
	return func(owner identity.PublicKey) bool {
		if slices.Contains(a.owners, owner) {
			return true
		}
		if own, err := a.home.Me(); err == nil && own == owner || a.home.wasMine(owner) {
			return true
		}
		if !a.known {
			return false
		}
		aliases, err := a.home.Aliases()
		if err != nil {
			return false // peer id alias says what is wrong with the file
		}
		for _, did := range aliases {
			if did == owner.DID() {
				return true
			}
		}
		return false
	}
}

// String is how status shows it.
func (a accept) String() string {
	if a.home == nil {
		return acceptAll
	}
	var words []string
	if a.known {
		words = append(words, acceptKnown)
	}
	for _, key := range a.owners {
		words = append(words, key.DID())
	}
	return strings.Join(words, ",")
}

// sizeFlag is a number of bytes: 1000000, 20GB, 512MiB.
type sizeFlag int64

var sizeUnits = []struct {
	name  string
	bytes float64
}{
	{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"tib", 1 << 40},
	{"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9}, {"tb", 1e12}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"b", 1},
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *sizeFlag) UnmarshalText(raw []byte) error {
	text, factor := strings.ToLower(strings.TrimSpace(string(raw))), 1.0
	for _, unit := range sizeUnits {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			text, factor = strings.TrimSpace(number), unit.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n > 0) || n*factor > math.MaxInt64/2 {
		return fmt.Errorf("want a size such as 20GB or 512MiB, not %.40q", raw)
	}
	*s = sizeFlag(n * factor)
	return nil
}

package cmd

import (
	"slices"
	"sync"

	"peer/identity"
)

// nodeUser signs in its user's name for a node. It follows the files of the home,
// so that a key that is imported counts at once. A key that is encrypted or in an
// agent the node never has: commands sign with it, as long as they run.
type nodeUser struct {
	home *Home

	mu       sync.Mutex
	last     userKey // that was read without an error
	commands []identity.Signer
}

func newNodeUser(home *Home) (*nodeUser, error) {
	u, err := home.userKey()
	return &nodeUser{home: home, last: u}, err
}

func (n *nodeUser) now() userKey {
	u, err := n.home.userKey()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil { // peer id show says what is wrong
		n.last = u
	}
	return n.last
}

// Public implements [identity.Signer].
func (n *nodeUser) Public() identity.PublicKey { return n.now().Public }

// TrySign implements [identity.Signer].
func (n *nodeUser) TrySign(d identity.Domain, body []byte) ([]byte, error) {
	u := n.now()
	if u.Place == inNode || u.Place == inFile {
		return u.key.TrySign(d, body)
	}
	n.mu.Lock()
	at := slices.IndexFunc(n.commands, func(s identity.Signer) bool { return s.Public() == u.Public })
	if at < 0 {
		n.mu.Unlock()
		if u.Place == inAgent {
			return nil, identity.Locked("your key is in an ssh-agent, so only peer's own commands can sign with it")
		}
		return nil, identity.Locked("your key is encrypted, so only peer's own commands can sign with it")
	}
	command := n.commands[at]
	n.mu.Unlock()
	return command.TrySign(d, body)
}

// attach has a command sign until detach.
func (n *nodeUser) attach(s identity.Signer) (detach func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.commands = append(n.commands, s)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.commands = slices.DeleteFunc(n.commands, func(have identity.Signer) bool { return have == s })
	}
}

package identity

import (
	"context"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// How long an ssh-agent is waited for. It may ask its owner to confirm each signature.
const (
	agentAnswers  = 5 * time.Second
	agentConfirms = 2 * time.Minute
)

// AgentSigner signs through an ssh-agent: the private key never leaves it.
type AgentSigner struct {
	Socket string // SSH_AUTH_SOCK; empty: there is no agent
	Key    PublicKey
}

// AgentKey is an Ed25519 key that an agent offers.
type AgentKey struct {
	Public  PublicKey
	Comment string
}

// Public implements [Signer].
func (s AgentSigner) Public() PublicKey { return s.Key }

// TrySign implements [Signer].
func (s AgentSigner) TrySign(d Domain, body []byte) ([]byte, error) {
	client, done, err := dialAgent(s.Socket, agentConfirms)
	if err != nil {
		return nil, err
	}
	defer done()
	signed := message(d, body)
	signature, err := client.Sign(s.Key.ssh(), signed)
	if err != nil {
		return nil, Locked("the ssh-agent does not sign as %s; it may be locked, or no longer have the key: %w", s.Key.Fingerprint(), err)
	}
	// NB: an Ed25519 signature of an agent is a raw one. Whoever answers at the
	// socket is not taken at its word.
	if signature.Format != ssh.KeyAlgoED25519 || !s.Key.Verify(d, body, signature.Blob) {
		return nil, Locked("the ssh-agent's signature is not one of %s", s.Key.Fingerprint())
	}
	return signature.Blob, nil
}

// AgentKeys lists the Ed25519 keys that the agent at socket offers, and how many
// others it has. A locked agent offers none.
func AgentKeys(socket string) (keys []AgentKey, others int, err error) {
	client, done, err := dialAgent(socket, agentAnswers)
	if err != nil {
		return nil, 0, err
	}
	defer done()
	list, err := client.List()
	if err != nil {
		return nil, 0, Locked("the ssh-agent does not list its keys: %w", err)
	}
	for _, k := range list {
		public, err := ssh.ParsePublicKey(k.Blob)
		if err != nil {
			others++
			continue
		}
		ours, err := fromSSH(public)
		if err != nil {
			others++
			continue
		}
		keys = append(keys, AgentKey{ours, k.Comment})
	}
	return keys, others, nil
}

func dialAgent(socket string, patience time.Duration) (agent.Agent, func(), error) {
	if socket == "" {
		return nil, nil, Locked("there is no ssh-agent: SSH_AUTH_SOCK is not set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), agentAnswers)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, Locked("the ssh-agent does not answer: %w", err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience)) // a socket has them
	return agent.NewClient(conn), func() { _ = conn.Close() }, nil
}

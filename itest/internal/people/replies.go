package people

import (
	"encoding/json"
	"errors"
)

// Identity is what `peer id show --json` prints.
type Identity struct {
	PeerID string `json:"peer_id"`
	DID    string `json:"did"`
}

// Status is what `peer status --json` prints.
type Status struct {
	PeerID string `json:"peer_id"`
	Peers  []struct {
		PeerID string `json:"peer_id"`
	} `json:"peers"`
	Repos    []Repo `json:"repos"`
	GRPCAddr string `json:"grpc_addr"`
	GitAddr  string `json:"git_addr"`
	HTTPAddr string `json:"http_addr"`
}

// Repo is what `peer repo show --json` prints.
type Repo struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	URL      string    `json:"url"`
	Leader   string    `json:"leader"`
	Term     uint64    `json:"term"`
	Index    uint64    `json:"index"`
	Replicas []Replica `json:"replicas"`
	Problem  string    `json:"problem"`
	Plan     string    `json:"plan"`
	Dir      string    `json:"dir"`
}

// Replica is one of a [Repo].
type Replica struct {
	Peer   string `json:"peer"`
	Alive  bool   `json:"alive"`
	InSync bool   `json:"in_sync"`
	Index  uint64 `json:"index"`
	Role   string `json:"role"`
}

// Identity asks whose home it is, and fails the test where that can't be said.
func (p *Person) Identity() (id Identity) {
	p.t().Helper()
	p.Parse(p.Peer("id", "show", "--json"), &id)
	return id
}

// Status asks the node of the home.
func (p *Person) Status() (s Status, err error) {
	return s, p.ask(&s, "status", "--json")
}

// Show asks about a repository.
func (p *Person) Show(repo string) (s Repo, err error) {
	return s, p.ask(&s, "repo", "show", repo, "--json")
}

func (p *Person) ask(into any, args ...string) error {
	r := p.TryPeer(args...)
	if r.Code != 0 {
		return errors.New(r.String())
	}
	return json.Unmarshal([]byte(r.Out), into)
}

// Parse reads JSON, and fails the test where it isn't any.
func (p *Person) Parse(text string, into any) {
	p.t().Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.t().Fatalf("%v in %s", err, text)
	}
}

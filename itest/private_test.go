package itest

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"peer/itest/internal/await"
)

// TestPrivate lets people in and shuts them out of a private repository: on a node that
// holds it, on one that does not, without a node, and through git daemons.
func TestPrivate(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 4, config: func(config map[string]any) { config["http"] = 0 }})
	on := []string{c.nodes[0].peerID, c.nodes[1].peerID, c.nodes[2].peerID}
	r := c.create("secret", "--private", "--on", strings.Join(on, ","))
	ann, member, other, guest := c.at(0), c.at(1), c.at(3), c.guest("guest", "")
	ann.Git("", "init", "-q", "work")
	ann.Commit("work", "a.txt", []byte("1\n"))
	ann.Git("work", "push", "-q", r.url, "HEAD:refs/heads/main")
	daemon := func(i int, url string) string {
		return strings.Replace(url, "peer://", fmt.Sprintf("git://%s:%d/", c.nodes[i].host(), c.nodes[i].gitPort), 1)
	}
	web := func(i int) string {
		t.Helper()
		status, err := c.at(i).Status()
		if err != nil || status.HTTPAddr == "" {
			t.Fatalf("where %s serves http://: %q, %v", c.nodes[i].name, status.HTTPAddr, err)
		}
		return strings.Replace(r.url, "peer://", "http://"+status.HTTPAddr+"/", 1)
	}
	// gone is what one hears of a repository that is not there.
	gone := func(p *person, url string) {
		t.Helper()
		none := p.TryGit("", "ls-remote", url+"x")
		plain := func(said string) string { // without name and ID
			return regexp.MustCompile(`secretx?(: |/')|[0-9a-f]{12}`).ReplaceAllString(said, "")
		}
		await.Eventually(t, convergeTimeout, func() error { // a replica may have to hear of it yet
			there := p.TryGit("", "ls-remote", url)
			if there.Code == 0 || there.Code != none.Code || plain(there.Err) != plain(none.Err) {
				return fmt.Errorf("unknown and forbidden differ: %s\n%s", there, none)
			}
			return nil
		})
	}
	member.Git("", "ls-remote", r.url)
	gone(other, r.url)
	gone(guest, r.url)
	gone(guest, daemon(0, r.url))
	gone(guest, daemon(3, r.url))
	gone(guest, web(0))
	gone(guest, web(3))
	role := func(who string, verb ...string) {
		ann.Peer(append(append([]string{"repo"}, verb...), r.url, who)...)
	}
	var status struct {
		GitDID string `json:"git_did"`
	}
	ann.Parse(ann.Peer("status", "--json"), &status)
	readers := []string{other.Identity().DID, guest.Identity().DID, status.GitDID}
	for _, who := range readers {
		role(who, "allow", "--role", "reader")
	}
	r.converge()
	other.Git("", "clone", "-q", r.url, "theirs")
	guest.Git("", "clone", "-q", r.url, "theirs")
	guest.Git("", "clone", "-q", daemon(0, r.url), "plain")
	guest.Git("", "clone", "-q", web(0), "web")
	gone(guest, daemon(3, r.url)) // that node has another key
	guest.Refuses("theirs", []string{"may not write"}, "push", "origin", "HEAD:refs/heads/x")
	for _, who := range readers {
		role(who, "deny")
	}
	gone(other, r.url)
	gone(guest, r.url)
	gone(guest, daemon(0, r.url))
	gone(guest, web(0))
}

package node_test

import (
	"strings"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// allows has a member change the policy.
func allows(t *testing.T, m *nodetest.Member, g *replica.Genesis, c *wire.ChangePolicy) error {
	t.Helper()
	_, _, err := m.Node.ChangePolicy(deadline(t), g.Repo, func(node.Info) (*wire.ChangePolicy, error) { return c, nil })
	return err
}

func granting(k identity.Key, a wire.Access) *wire.ChangePolicy {
	public := k.Public()
	return &wire.ChangePolicy{Set: []*wire.Grant{{Key: public[:], Access: a}}}
}

func protecting(r *wire.Protection) *wire.ChangePolicy {
	return &wire.ChangePolicy{Protect: []*wire.Protection{r}}
}

// codeOf is what became of the first operation of a push, or of all of it.
func codeOf(t *testing.T, c *nodetest.Cluster, client *nodetest.Client, p nodetest.Push) wire.Code {
	t.Helper()
	done, err := client.Send(deadline(t), p, c.IDs()...)
	if err != nil {
		if nodetest.CodeOf(err) == wire.FailureCode_FAILURE_NOT_ALLOWED {
			return wire.Code_CODE_NOT_ALLOWED
		}
		t.Fatal(err)
	}
	if code := done.GetOutcome().GetResult().GetCode(); code != wire.Code_CODE_OK {
		return code
	}
	return done.GetOutcome().GetResults()[0].GetCode()
}

// A person on another node is let in, pushes, and is shut out: whatever they signed
// before that and that commits after it is refused on every replica.
func TestAllowAndDeny(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	c.Settle(g)
	founder, bob := c.Members[0], c.Members[1]
	theirs := c.ClientAs(bob.Key, g)
	one, two := sha1.File(1, 10), sha1.File(2, 10)
	push := theirs.Sign(1, one.Pack(sha1), nil, nodetest.Move(main, git.OID{}, one.OID))
	if got := codeOf(t, c, theirs, push); got != wire.Code_CODE_NOT_ALLOWED {
		t.Fatalf("a stranger's push: %s", got)
	}
	if err := allows(t, bob, g, granting(bob.Key, wire.Access_ACCESS_OWNER)); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("a stranger changes the policy: %v", err)
	}
	if err := allows(t, founder, g, granting(bob.Key, wire.Access_ACCESS_WRITER)); err != nil {
		t.Fatal(err)
	}
	mustPush(t, c, theirs, push)
	later := theirs.Sign(1, two.Pack(sha1), nil, nodetest.Move("refs/heads/two", git.OID{}, two.OID))
	if err := allows(t, founder, g, granting(bob.Key, wire.Access_ACCESS_NONE)); err != nil {
		t.Fatal(err)
	}
	// Past the courtesy, straight into the leader's log.
	leader := c.Leader(g)
	if err := leader.Node.Propose(g.Repo, &wire.Entry{Transaction: later.Signed}); err != nil {
		t.Fatal(err)
	}
	if got := codeOf(t, c, theirs, later); got != wire.Code_CODE_NOT_ALLOWED {
		t.Errorf("signed before the revoke, committed after: %s", got)
	}
	c.Converge(g)
	for _, m := range c.Members {
		table, err := m.Table(g)
		if err != nil {
			t.Fatal(err)
		}
		if len(table.Refs()) != 1 || table.MayWrite(bob.Key.Public()) {
			t.Errorf("%s has %v", m.ID, table.Refs())
		}
	}
	if why := says(t, bob, g, "that needs the role writer, which an owner or a maintainer grants", true); why != "" {
		t.Errorf("why a push by bob would be refused: %s", why)
	}
	view, err := founder.Node.Log(deadline(t), g.Repo, 50)
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for _, e := range view.Entries {
		for _, ch := range e.GetChanges() {
			if ch.GetKind() == "policy" {
				said += ch.GetName() + "\n"
			}
		}
	}
	did := bob.Key.Public().DID()
	if !strings.Contains(said, did+" is writer\n") || !strings.Contains(said, did+" is nobody\n") {
		t.Errorf("the log says %q", said)
	}
}

// The last owner stays; with two, the first may go, and the name remains.
func TestOwnersChange(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	c.Settle(g)
	founder, bob := c.Members[0], c.Members[1]
	err := allows(t, founder, g, granting(founder.Key, wire.Access_ACCESS_NONE))
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED || !strings.Contains(err.Error(), "an owner must be left") {
		t.Fatalf("the last owner goes: %v", err)
	}
	if err := allows(t, founder, g, granting(bob.Key, wire.Access_ACCESS_OWNER)); err != nil {
		t.Fatal(err)
	}
	if err := allows(t, bob, g, granting(founder.Key, wire.Access_ACCESS_NONE)); err != nil {
		t.Fatal(err)
	}
	if _, err := founder.Node.Remove(deadline(t), g.Repo, ""); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("the founder removes it: %v", err)
	}
	chain(t, c, c.ClientAs(bob.Key, g), git.OID{}, 1)
	for _, m := range c.Members { // a restart loads what was stored
		m.Stop()
	}
	for _, m := range c.Members {
		m.Start()
	}
	c.Settle(g)
	info, err := bob.Node.Show(deadline(t), g.Repo)
	if err != nil {
		t.Fatal(err)
	}
	if p := info.Policy; len(p.GetGrants()) != 1 || replica.AccessIn(p, bob.Key.Public()) != wire.Access_ACCESS_OWNER || info.Genesis.Owner != founder.Key.Public() {
		t.Errorf("policy %v of %s", p, info.Genesis.Owner.DID())
	}
}

// Protected branches move forward only: what git says of the objects, small packs,
// large ones and none, decides.
func TestProtectedBranch(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	c.Settle(g)
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 2)
	if err := allows(t, c.Members[0], g, protecting(&wire.Protection{Pattern: "refs/heads/ma*", Push: wire.Access_ACCESS_WRITER, NoForce: true, NoDelete: true})); err != nil {
		t.Fatal(err)
	}
	at = chain(t, c, client, at, 2)
	big := sha1.File(50, 300_000, at)
	mustPush(t, c, client, client.Sign(1, big.Pack(sha1), nil, nodetest.Move(main, at, big.OID)))
	next := sha1.File(51, 10, big.OID)
	mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move("refs/heads/next", git.OID{}, next.OID)))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(main, big.OID, next.OID)))
	aside := sha1.File(52, 10, at)
	for what, p := range map[string]nodetest.Push{
		"back":      client.Sign(1, nil, nil, nodetest.Move(main, next.OID, big.OID)),
		"elsewhere": client.Sign(1, aside.Pack(sha1), nil, nodetest.Move(main, next.OID, aside.OID)),
	} {
		if got := codeOf(t, c, client, p); got != wire.Code_CODE_NOT_FORWARD {
			t.Errorf("%s: %s", what, got)
		}
	}
	if got := codeOf(t, c, client, client.Sign(1, nil, nil, nodetest.Move(main, next.OID, git.OID{}))); got != wire.Code_CODE_NOT_ALLOWED {
		t.Errorf("deleted: %s", got)
	}
	c.Converge(g)
	if c.Logged("this replica leaves") {
		t.Error("somebody doubts what is so")
	}
}

// A leader that says of objects what is not so is found out by all others, who
// have them: they leave, and say why.
func TestLeaderLies(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 1)
	other := sha1.File(99, 10)
	mustPush(t, c, client, client.Sign(1, other.Pack(sha1), nil, nodetest.Move("refs/heads/other", git.OID{}, other.OID)))
	if err := allows(t, c.Members[0], g, protecting(&wire.Protection{Pattern: main, Push: wire.Access_ACCESS_WRITER, NoForce: true})); err != nil {
		t.Fatal(err)
	}
	c.Converge(g)
	force := client.Sign(1, nil, nil, nodetest.Move(main, at, other.OID))
	err := leader.Node.Propose(g.Repo, &wire.Entry{Transaction: force.Signed, Ancestry: []*wire.Ancestry{{Old: at.Bytes(), New: other.OID.Bytes()}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range c.Others(leader) {
		c.Eventually(func() string {
			if problem := m.View(g).GetProblem(); !strings.Contains(problem, "is an ancestor of "+other.OID.String()+", and it is not") {
				return "it goes on: " + problem
			}
			return ""
		})
	}
	// And so does whoever checks later what it believed.
	said := verified(t, leader, g, false)
	if v := said[leader.ID]; v.Report == nil || len(v.Report.GetFindings()) == 0 {
		t.Errorf("the leader finds nothing wrong with its log: %+v", v)
	}
}

// A push that a new leader finds staged goes forward as far as the staged objects say.
func TestProtectedPushSurvivesItsLeader(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 1)
	if err := allows(t, c.Members[0], g, protecting(&wire.Protection{Pattern: main, Push: wire.Access_ACCESS_WRITER, NoForce: true})); err != nil {
		t.Fatal(err)
	}
	big := sha1.File(7, 300_000, at)
	push := client.Sign(1, big.Pack(sha1), nil, nodetest.Move(main, at, big.OID))
	leader.Stop()
	death := leader.DieAt("replicated")
	leader.Start()
	c.Settle(g)
	death.Arm()
	_, err := client.Once(deadline(t), leader.ID, push)
	if _, open := <-death.Died; open || err == nil {
		t.Fatalf("it lives: %v", err)
	}
	death.Bury()
	mustPush(t, c, client, push)
	c.Converge(g, c.Others(leader)...)
}

// A change that a member would not know is not proposed while it is heard.
func TestOldMember(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	old := c.Members[1]
	told := func(version uint32) {
		t.Helper()
		old.Node.SaysVersion(version)
		c.Eventually(func() string {
			if leader.Node.HearsVersion(old.ID) != version {
				return "the leader has not heard it"
			}
			return ""
		})
	}
	told(2)
	err := allows(t, c.Members[0], g, granting(old.Key, wire.Access_ACCESS_WRITER))
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_VERSION {
		t.Errorf("it was proposed: %v", err)
	}
	chain(t, c, c.Client(g), git.OID{}, 1)
	told(replica.EntryVersion)
	if err := allows(t, c.Members[0], g, granting(old.Key, wire.Access_ACCESS_WRITER)); err != nil {
		t.Error(err)
	}
}

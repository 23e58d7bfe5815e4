package itest

// accessMutations are the ways to break who may do what.
var accessMutations = []mutation{
	{
		promise: "signed", name: "a maintainer makes owners", file: "replica/changepolicy.go",
		edits: []string{"case g.GetAccess() >= asMaintainer:\n\t\t\treturn fmt.Sprintf(\"%s would", "case g.GetAccess() > asOwner:\n\t\t\treturn fmt.Sprintf(\"%s would"},
		in:    "replica", tests: "TestRoles",
	},
	{
		promise: "signed", name: "a maintainer denies owners", file: "replica/changepolicy.go",
		edits: []string{"case have >= asMaintainer:", "case have > asOwner:"},
		in:    "replica", tests: "TestRoles",
	},
	{
		promise: "signed", name: "the last owner goes", file: "replica/changepolicy.go",
		edits: []string{"case owners == 0:", "case owners < 0:"},
		in:    "replica", tests: "TestOwners|TestTwin",
	},
	{
		promise: "signed", name: "a change of an older policy counts", file: "replica/changepolicy.go",
		edits: []string{"c.GetOldVersion() != have {", "c.GetOldVersion() > have {"},
		in:    "replica", tests: "TestPolicyRaces|TestTwin",
	},
	{
		promise: "signed", name: "a forced push is taken for a forward one", file: "replica/ancestry.go",
		edits: []string{"if bytes.Equal(a.GetOld(), u.GetOld()) && bytes.Equal(a.GetNew(), u.GetNew()) {", "if bytes.Equal(a.GetNew(), u.GetNew()) {"},
		in:    "replica", tests: "TestForward",
	},
	{
		promise: "signed", name: "nobody looks whether the leader lied", file: "node/ancestry.go",
		edits: []string{"if yes || err != nil {", "if yes || err == nil || err != nil {"},
		in:    "node", tests: "TestLeaderLies",
	},
	{
		promise: "signed", name: "a protected branch may be deleted", file: "replica/policy.go",
		edits: []string{"if r.GetNoDelete() && r.matches", "if r.GetNoDelete() && false && r.matches"},
		in:    "replica", tests: "TestRoles|TestTwin|TestPolicyRefused",
	},
	{
		promise: "signed", name: "a node takes anybody's repositories", file: "node/room.go",
		edits: []string{"if !n.cfg.Hosts(key) {", "if !n.cfg.Hosts(key) && false {"},
		in:    "node", tests: "TestHosts",
	},
	{
		promise: "signed", name: "an invitation lets in as many as come", file: "node/invite/keeper.go",
		edits: []string{"case len(i.Guests) >= i.Uses:", "case len(i.Guests) > 1000:"},
		in:    "node/invite", tests: "TestAdmit",
	},
	{
		promise: "signed", name: "an invitation has no end", file: "node/invite/keeper.go",
		edits: []string{"case !k.now().Before(i.Expires):", "case false:"},
		in:    "node/invite", tests: "TestAdmit",
	},
	{
		promise: "private", name: "anybody may hold a session", file: "node/session.go",
		edits: []string{"g == nil || !g.readableBy(user) ||", "g == nil ||"},
		in:    "node", tests: "TestPrivate$|TestReaderOfAPrivateRepository",
	},
	{
		promise: "private", name: "anybody is told where it is", file: "node/groupserve.go",
		edits: []string{"if g == nil || g.genesis.Private && !g.hadSeat(from) {", "if g == nil {"},
		in:    "node", tests: "TestPrivate$",
	},
	{
		promise: "private", name: "a seat is refused where it is", file: "node/seats.go",
		edits: []string{"if hidden {", "if hidden && false {"},
		in:    "node", tests: "TestDecoySeat|TestPrivate$",
	},
	{
		promise: "private", name: "it has a topic", file: "node/announce.go",
		edits: []string{"if joined[g.genesis.Repo] != nil || g.genesis.Private {", "if joined[g.genesis.Repo] != nil {"},
		in:    "node", tests: "TestPrivateIsNotAnnounced",
	},
	{
		promise: "private", name: "who was asked may ask others", file: "node/session.go",
		edits: []string{" || !n.meant(g, hello, from, open.GetRelayed())", ""},
		in:    "node", tests: "TestHelloIsForOne",
	},
}

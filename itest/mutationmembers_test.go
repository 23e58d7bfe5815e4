package itest

// memberMutations are the ways to break changes of members and the collection of
// objects.
var memberMutations = []mutation{
	{
		promise: "durable", name: "only the new half counts while members change", file: "replica/membership.go",
		edits: []string{"return in(Incoming) && in(Outgoing)", "return in(Incoming)"},
		in:    "replica", tests: "TestHasQuorum",
	},
	{
		promise: "durable", name: "a learner counts", file: "replica/membership.go",
		edits: []string{"if m.Role == Voter || m.Role == other {\n\t\t\t\tall++", "if m.Role == Voter || m.Role == Learner || m.Role == other {\n\t\t\t\tall++"},
		in:    "replica", tests: "TestHasQuorum",
	},
	{
		promise: "durable", name: "a learner votes before it caught up", file: "replica/plan.go",
		edits: []string{"(!s.active(m.RaftID) || s.Seats[m.RaftID].Match+caughtUp < s.Commit)", "!s.active(m.RaftID)"},
		in:    "replica", tests: "TestPlanMembers|TestPlansConverge",
	},
	{
		promise: "durable", name: "members change though a majority is missing", file: "replica/plan.go",
		edits: []string{"if !s.Membership.HasQuorum(", "if s.Self == 0 && !s.Membership.HasQuorum("},
		in:    "replica", tests: "TestPlanMembers|TestPlansConverge",
	},
	{
		promise: "durable", name: "members change so that a majority is missing", file: "replica/plan.go",
		edits: []string{"if able <= len(voters)/2 {", "if able < 0 {"},
		in:    "replica", tests: "TestPlanMembers|TestPlansConverge",
	},
	{
		promise: "durable", name: "a node drops its copy on one member's word", file: "node/leave.go",
		edits: []string{"return at != nil && at.GetProblem() == \"\"", "return at == nil || at.GetProblem() == \"\""},
		in:    "node", tests: "TestCopyStaysWithoutAMajority",
	},
	{
		promise: "durable", name: "a replica in use makes room for another", file: "node/seats.go",
		edits: []string{"if !fellow || !isLoss(problem) || insteadOf != g.raftID {", "if !fellow || insteadOf != g.raftID {"},
		in:    "node", tests: "TestHostileGroupRequests",
	},
	{
		promise: "one leader", name: "the number of a seat is given again", file: "replica/membership.go",
		edits: []string{"case next.NextRaftID != ms.NextRaftID+uint64(came):", "case next.NextRaftID > ms.NextRaftID+uint64(came):"},
		in:    "replica", tests: "TestMembershipRefuses",
	},
	{
		promise: "one leader", name: "a seat that was given up is heard again", file: "replica/change.go",
		edits: []string{"if m.RaftID < g.table.members.NextRaftID {", "if m.RaftID == 0 {"},
		in:    "replica", tests: "TestIntroduced",
	},
	{
		promise: "one leader", name: "any node speaks for a seat", file: "replica/step.go",
		edits: []string{"case sender.Peer != from:", "case sender.RaftID == 0:"},
		in:    "replica", tests: "TestIntroduced|TestStepRefuses",
	},
	{
		promise: "one leader", name: "a node takes a seat whose nonce it did not draw", file: "node/join.go",
		edits: []string{"!ok || !named || !bytes.Equal(seat.Nonce, nonce) {", "!ok || !named || len(seat.Nonce) != len(nonce) {"},
		in:    "node", tests: "TestJoinTakesOnlyItsOwnSeat",
	},
	{
		promise: "one leader", name: "who leaves hears of it first", file: "replica/change.go",
		edits: []string{"return g.seat(m.GetTo()).RaftID == 0 })", "return m.GetTo() == 0 })"},
		in:    "replica", tests: "TestLeaversAreNotTold",
	},
	{
		promise: "one leader", name: "a leader ends the change that it leaves by", file: "replica/change.go",
		edits: []string{"|| g.Self().Role != Outgoing {", "|| g.Self().Role != Learner {"},
		in:    "replica", tests: "TestLeaderThatLeaves",
	},
	{
		promise: "one leader", name: "a candidate is not told what is committed", file: "replica/votes.go",
		edits: []string{"if isVote(m) {", "if isVote(m) && m.GetTerm() == 0 {"},
		in:    "replica", tests: "TestVotes.*",
	},
	{
		promise: "ordered", name: "a table that others contradict is installed", file: "node/catchup.go",
		edits: []string{"need.Table, need.From); err != nil {", "need.Table, need.From); err != nil && ctx.Err() != nil {"},
		in:    "node", tests: "TestDamagedTableIsNoSnapshot",
	},
	{
		promise: "whole", name: "the floor passes what a push in flight rests on", file: "replica/collect.go",
		edits: []string{"limit = min(limit, base)", "limit = max(limit, base)"},
		in:    "replica", tests: "TestCollect",
	},
	{
		promise: "whole", name: "the floor passes a member that lags", file: "replica/collect.go",
		edits: []string{"match = min(match, m.Match)", "match = max(match, m.Match)"},
		in:    "replica", tests: "TestCollect",
	},
	{
		promise: "whole", name: "the floor passes its own entry", file: "replica/retired.go",
		edits: []string{"if floor <= t.Floor() || floor >= done.Index {", "if floor <= t.Floor() {"},
		in:    "replica", tests: "TestRetired",
	},
	{
		promise: "whole", name: "a push may rest on what its listing did not name", file: "node/retired.go",
		edits: []string{"i >= 0 && p.retired[i].index > base; i--", "i >= 0; i--"},
		in:    "node", tests: "TestPushRestsOnNothingElse",
	},
	{
		promise: "whole", name: "objects go that the log names", file: "node/gather.go",
		edits: []string{"all := append(tips[:len(tips):len(tips)], named...)", "all := append(tips[:len(tips):len(tips)], named[:0]...)"},
		in:    "node", tests: "TestGatherKeepsWhatTheLogNames",
	},
	{
		promise: "whole", name: "packs go while somebody clones from them", file: "node/gather.go",
		edits: []string{"if r.olderThan(done.mark) {", "if r.olderThan(0) {"},
		in:    "node", tests: "TestGatherWaitsForClones",
	},
	{
		promise: "whole", name: "a snapshot comes without what refs left", file: "node/catchup.go",
		edits: []string{"range loadRetired(need.Table.GetRetired()) {", "range loadRetired(need.Table.GetRetired()[:0]) {"},
		in:    "node", tests: "TestPushOverADeletedBranchReachesASnapshot",
	},
	{
		promise: "signed", name: "a seat needs no proof", file: "replica/change.go",
		edits: []string{"if t.members.Lineage.VerifySeat(m) != nil {", "if t.members.Lineage.VerifySeat(m) != nil && m.RaftID == 0 {"},
		in:    "replica", tests: "TestRefusedChanges",
	},
	{
		promise: "signed", name: "anybody may introduce a seat", file: "replica/lineage.go",
		edits: []string{"case !slices.ContainsFunc(l.configurations, func(c *Configuration) bool { return c.HasVoter(by) }):", "case by == \"\":"},
		in:    "replica", tests: "TestVerifySeat",
	},
	{
		promise: "signed", name: "a certificate needs no majority", file: "replica/certificate.go",
		edits: []string{"if len(nodes) <= len(c.Voters)/2 {\n\t\treturn nil, fmt.Errorf(", "if len(nodes) < 0 {\n\t\treturn nil, fmt.Errorf("},
		in:    "replica", tests: "TestCertificates",
	},
	{
		promise: "signed", name: "hints of earlier voters count as much", file: "node/announce.go",
		edits: []string{"cmp.Compare(a.GetGeneration(), b.GetGeneration()), ", ""},
		in:    "node", tests: "TestHintOfLaterVoters",
	},
	{
		promise: "signed", name: "anybody may change the settings", file: "replica/configure.go",
		edits: []string{"\"change the settings of \"+o.genesis.Name); r != nil {", "\"change the settings of \"+o.genesis.Name); r != nil && false {"},
		in:    "replica", tests: "TestConfigure",
	},
	{
		promise: "signed", name: "anybody may remove a repository", file: "replica/configure.go",
		edits: []string{"\"remove \"+o.genesis.Name); r != nil {", "\"remove \"+o.genesis.Name); r != nil && false {"},
		in:    "replica", tests: "TestRemove",
	},
}

package itest

// mutations are the ways to break the most dangerous places.
var mutations = []mutation{
	{
		promise: "durable", name: "the database does not sync", file: "node/store/badger.go",
		edits: []string{"b.SyncWrites = !o.NoSync", "b.SyncWrites = false"},
		in:    "itest", tests: "TestPowerCut", args: []string{"-short"},
	},
	{
		promise: "durable", name: "staged packs are not synced", file: "node/arrival.go",
		edits: []string{"errors.Join(a.pack.Sync(), a.idx.Sync())", "errors.Join(a.pack.Chmod(0o600), a.idx.Chmod(0o600))"},
		in:    "itest", tests: "TestPowerCut", args: []string{"-short", "-seed", "2"},
	},
	{
		promise: "durable", name: "acknowledge before the save", file: "replica/turn.go",
		edits: []string{"if before.RaftState == raft.StateLeader {\n\t\tt.Early", "if before.GetTerm() > 0 {\n\t\tt.Early"},
		in:    "replica", tests: "TestSimulation",
	},
	{
		promise: "durable", name: "messages leave before the write", file: "node/loop.go",
		edits: []string{"g.send(t.Early)", "g.send(append(t.Early, t.Messages...))"},
		in:    "node", tests: "TestNothingIsSaidBeforeItIsSaved",
	},
	{
		promise: "durable", name: "a payload counts as held", file: "replica/step.go",
		edits: []string{"return g.payloads.Held(tx.GetSigner(), tx.GetId(), p)", "return true"},
		in:    "replica", tests: "TestPayloadRule|TestSimulation",
	},
	{
		promise: "durable", name: "staging holds everything", file: "node/staging.go",
		edits: []string{"return have != nil && samePayload(have, p)\n}\n\nfunc samePayload", "return true || have != nil\n}\n\nfunc samePayload"},
		in:    "node", tests: "TestNoCommitWithoutTheObjects",
	},
	{
		promise: "durable", name: "the log is cut before it is published", file: "replica/turn.go",
		edits: []string{"limit := min(published, g.table.Index())", "limit := g.table.Index()"},
		in:    "replica", tests: "TestSimulation",
	},
	{
		promise: "ordered", name: "entries are applied in the wrong order", file: "replica/turn.go",
		edits: []string{
			"for _, e := range rd.CommittedEntries {", "for i := range rd.CommittedEntries {\n\t\te := rd.CommittedEntries[len(rd.CommittedEntries)-1-i]",
			"g.table.Apply(e.GetIndex(), e", "g.table.Apply(g.table.Index()+1, e",
		},
		in: "replica", tests: "TestSimulation",
	},
	{
		promise: "ordered", name: "compare-and-swap swaps only", file: "replica/operate.go",
		edits: []string{"if !bytes.Equal(current.GetOid(), u.GetOld()) {", "if false {"},
		in:    "replica", tests: "TestOperations|TestTwin|TestSimulation",
	},
	{
		promise: "ordered", name: "compare-and-swap swaps only (real processes)", file: "replica/operate.go",
		edits: []string{"if !bytes.Equal(current.GetOid(), u.GetOld()) {", "if false {"},
		in:    "itest", tests: "TestHistories", args: []string{"-short"},
	},
	{
		promise: "ordered", name: "reads don't ask the leader", file: "node/session.go",
		edits: []string{"else if p.index, err = s.g.readIndex(bounded); err != nil {", "else if _, _, p.index = s.g.pub.list(); bounded.Err() != nil {"},
		in:    "node", tests: "TestLinearizable",
	},
	{
		promise: "ordered", name: "reads don't ask the leader (real processes)", file: "node/session.go",
		edits: []string{"else if p.index, err = s.g.readIndex(bounded); err != nil {", "else if _, _, p.index = s.g.pub.list(); bounded.Err() != nil {"},
		in:    "itest", tests: "TestHistories", args: []string{"-short"},
	},
	{
		promise: "ordered", name: "reads don't ask the leader (containers)", file: "node/session.go",
		edits: []string{"else if p.index, err = s.g.readIndex(bounded); err != nil {", "else if _, _, p.index = s.g.pub.list(); bounded.Err() != nil {"},
		in:    "itest/container", tests: "TestPartitionOfThree|TestPartitionOfFive",
	},
	{
		promise: "ordered", name: "the leader answers reads without its followers", file: "replica/group.go",
		edits: []string{"raft.ReadOnlySafe", "raft.ReadOnlyLeaseBased"},
		in:    "node", tests: "TestFrozenLeader",
	},
	{
		promise: "ordered", name: "git:// serves what no leader confirmed", file: "cmd/gitd.go",
		edits: []string{"patience{total: fetchPatience}, c.wantConfirmed)", "patience{total: fetchPatience}, func(*session) error { return nil })"},
		in:    "cmd", tests: "TestGitd",
	},
	{
		promise: "one leader", name: "the vote is not saved", file: "replica/turn.go",
		edits: []string{"t.Save.HardState = rd.HardState", "t.Save.HardState = nil"},
		in:    "replica", tests: "TestSimulation",
	},
	{
		promise: "one leader", name: "a disk without the nonce has the seat", file: "node/join.go",
		edits: []string{"if ok && bytes.Equal(m.Nonce, nonce) {", "if ok || !bytes.Equal(m.Nonce, nonce) {"},
		in:    "node", tests: "TestSeatWithAnotherNonce|TestWipedStore",
	},
	{
		promise: "one leader", name: "a wiped disk takes part again", file: "node/found.go",
		edits: []string{"if !ok || !bytes.Equal(nonce, seat.Nonce) {", "if !ok && false && bytes.Equal(nonce, seat.Nonce) {"},
		in:    "node", tests: "TestHostileGroupRequests|TestWipedStore|TestWipedFollower",
	},
	{
		promise: "one leader", name: "a disk from a backup goes on", file: "replica/step.go",
		edits: []string{"m.GetCommit() > last {", "m.GetCommit() > last+1<<40 {"},
		in:    "replica", tests: "TestLostLog",
	},
	{
		promise: "one leader", name: "a learner votes", file: "replica/membership.go",
		edits: []string{"conf.Learners = append(conf.Learners, m.RaftID)", "conf.Voters = append(conf.Voters, m.RaftID)"},
		in:    "replica", tests: "Test.*",
	},
	{
		promise: "one leader", name: "a leader without a majority stays", file: "replica/group.go",
		edits: []string{"CheckQuorum:               true,", "CheckQuorum:               false,"},
		in:    "node", tests: "TestMinority",
	},
	{
		promise: "exactly once", name: "outcomes are forgotten", file: "replica/apply.go",
		edits: []string{"tx.GetId()); first != nil {", "tx.GetId()); false && first != nil {"},
		in:    "replica", tests: "TestRepeat|TestTwin|TestSimulation",
	},
	{
		promise: "exactly once", name: "outcomes are not saved", file: "replica/apply.go",
		edits: []string{"t.mark(outcomeKey(done.Index), encode(outcome))", ""},
		in:    "replica", tests: "TestSimulation",
	},
	{
		promise: "exactly once", name: "transactions never expire", file: "replica/apply.go",
		edits: []string{"if index > tx.GetBase()+tx.GetWindow() {", "if false {"},
		in:    "replica", tests: "TestWindow|TestTwin",
	},
	{
		promise: "exactly once", name: "a base that is yet to come is no matter", file: "replica/apply.go",
		edits: []string{"if tx.GetBase() >= done.Index {", "if false {"},
		in:    "replica", tests: "TestBaseToCome|TestTwin",
	},
	{
		promise: "whole", name: "refs move before their objects are there", file: "node/publish.go",
		edits: []string{
			"\tfail(failPublishBefore)\n", "\tlast, err := p.move(ctx, next)\n\tif err != nil {\n\t\treturn err\n\t}\n\tfail(failPublishBefore)\n",
			"\tlast, err := p.move(ctx, next)\n\tif err != nil {\n\t\treturn err\n\t}\n\tfail(failPublishRefs)", "\tfail(failPublishRefs)",
		},
		in: "node", tests: "TestRefsFollowTheirObjects",
	},
	{
		promise: "whole", name: "a snapshot is taken before its objects are there", file: "replica/step.go",
		edits: []string{"\tg.hold(m)\n\treturn &Need{Table: s", "\tif m != nil {\n\t\treturn nil, g.step(m)\n\t}\n\treturn &Need{Table: s"},
		in:    "replica", tests: "TestSnapshotWaits|TestSimulation",
	},
	{
		promise: "whole", name: "an atomic push is done by half", file: "replica/operate.go",
		edits: []string{"if failed && tx.GetAtomic() {", "if failed && false {"},
		in:    "replica", tests: "TestOperations|TestTwin",
	},
	{
		promise: "whole", name: "a push may rest on objects that are gone", file: "replica/apply.go",
		edits: []string{"if tx.GetBase() < t.Floor() {", "if false {"},
		in:    "replica", tests: "TestTwin|TestSimulation",
	},
	{
		promise: "whole", name: "listings don't hold the gate", file: "git/serve.go",
		edits: []string{
			"startServer(ctx, c, gate, version < 2)", "startServer(ctx, c, brief{gate}, version < 2)",
			"// startServer starts", "type brief struct{ Gate }\n\nfunc (b brief) RLock() { b.Gate.RLock(); b.Gate.RUnlock() }\nfunc (brief) RUnlock()   {}\n\n// startServer starts",
		},
		in: "git", tests: "TestListingsAreAtomic",
	},
	{
		promise: "whole", name: "pushes are not checked for what is missing", file: "git/check.go",
		edits: []string{"if len(absent) == 0 && cerr == nil {", "if len(absent) == 0 {"},
		// Of what a pusher left out git index-pack --strict finds most as well.
		in: "git", tests: "TestCheckFindsMissingObjects",
	},
	{
		promise: "signed", name: "signatures are not checked", file: "replica/signed.go",
		edits: []string{"if !signer.Verify(d, s.GetBody(), s.GetSignature()) {", "if false {"},
		in:    "replica", tests: "TestUnsigned|TestGenesisSignature",
	},
	{
		promise: "signed", name: "a signature counts in every domain", file: "identity/key.go",
		edits: []string{"m = append(m, d...)", "m = append(m, d[:0]...)"},
		in:    "identity", tests: "TestDomains|TestVectors",
	},
	{
		promise: "signed", name: "anybody may write", file: "replica/apply.go",
		edits: []string{"return t.policy.needs(signer, asWriter, \"write to \"+t.genesis.Name)", "return nil"},
		in:    "replica", tests: "TestTransactions|TestTwin",
	},
	{
		promise: "honest", name: "a majority without room is not told apart", file: "node/fanout.go",
		edits: []string{"refusal.F.GetCode() == wire.FailureCode_FAILURE_DISK {", "false {"},
		in:    "node", tests: "TestDiskFillsUpAtAMajority",
	},
	{
		promise: "honest", name: "an unknown outcome is called a refusal", file: "node/propose.go",
		edits: []string{"f.F.Unknown = true", "f.F.Unknown = false"},
		in:    "node", tests: "TestMinority",
	},
	{
		promise: "honest", name: "the helper forgets that it may have been committed", file: "cmd/remote_deliver.go",
		edits: []string{"d.Maybe = d.Maybe || a.mayHaveCommitted(err)", "d.Maybe = false"},
		in:    "cmd", tests: "TestPushGivesUp|TestPushOnce",
	},
	{
		promise: "honest", name: "the helper takes any outcome for its own", file: "replica/sent.go",
		edits: []string{"case !ours || !bytes.Equal(outcome.GetTxSha256(), hash[:]):", "case hash[0] == 0 && hash[1] == 0 && hash[2] == 0:"},
		in:    "cmd", tests: "TestForgedOutcome",
	},
	{
		promise: "honest", name: "a node's operation takes any receipt", file: "node/operate.go",
		edits: []string{"err == nil && done.Receipt != nil {", "err == nil && done == nil {"},
		in:    "node", tests: "TestReceiptNotAdmitted",
	},
	{
		promise: "exactly once", name: "the helper gives up at once (containers)", file: "cmd/remote_retry.go",
		edits: []string{"pushPatience  = 60 * time.Second", "pushPatience  = 0 * time.Second"},
		in:    "itest/container", tests: "TestLeaderLostInMidPush",
	},
	{
		promise: "honest", name: "packs go while git checks them", file: "node/verify.go",
		edits: []string{"\tg.packsGo.Lock()\n\tdefer g.packsGo.Unlock()\n", ""},
		in:    "node", tests: "TestChecksWhilePacksAreJoined",
	},
}

package itest

// limitMutations take away the limits on what one person can make a group hold or do.
var limitMutations = []mutation{
	{
		promise: "bounded", name: "a repository has as many refs as anybody makes", file: "replica/refsmax.go",
		edits: []string{"case len(t.refs) >= most:", "case len(t.refs) >= 2*most:"},
		in:    "replica", tests: "TestRefsMax|TestTwin",
	},
	{
		promise: "bounded", name: "refs outgrow a snapshot", file: "replica/refsmax.go",
		edits: []string{"refNameBytesMean = 64", "refNameBytesMean = 256"},
		in:    "replica", tests: "TestRefsFitIntoASnapshot",
	},
	{
		promise: "bounded", name: "a repository is as large as anybody makes it", file: "node/receive.go",
		edits: []string{"u.intake.upTo(q.PackSize + q.IdxSize)", "u.intake.upTo(1)"},
		in:    "node", tests: "TestRepoSize",
	},
	{
		promise: "bounded", name: "a pack that is too large is read to its end", file: "node/disk.go",
		edits: []string{"return r.in.upTo(r.total)", "return nil"},
		in:    "node", tests: "TestRepoSize$",
	},
	{
		promise: "bounded", name: "pushes at the same time each take what is left", file: "node/growth.go",
		edits: []string{"i.g.growth.bytes += bytes - i.bytes", "i.g.growth.bytes += 0"},
		in:    "node", tests: "TestIntakes",
	},
	{
		promise: "bounded", name: "a key pushes as often as it likes", file: "node/pushrate.go",
		edits: []string{"if wait == 0 {", "if wait >= 0 {"},
		in:    "node", tests: "TestPushRate$",
	},
	{
		promise: "bounded", name: "whoever sends a push again spends what its signer has", file: "node/push.go",
		edits: []string{"\tknown, refusal, err := u.courtesy(ctx)", "\tif err := u.admitRate(); err != nil {\n\t\treturn err\n\t}\n\tknown, refusal, err := u.courtesy(ctx)"},
		in:    "node", tests: "TestPushRate$",
	},
	{
		promise: "bounded", name: "a push that comes to nothing spends what its signer has", file: "node/push.go",
		edits: []string{"if err != nil && !u.proposed {", "if err != nil && u.proposed {"},
		in:    "node", tests: "TestPushRateOfWhatFails",
	},
	{
		promise: "durable", name: "a follower refuses what is committed", file: "node/catchup.go",
		edits: []string{"need *replica.Need) error {\n\tvar errs []error", "need *replica.Need) error {\n\tif err := (&intake{g: g}).upTo(int64(need.Payload.GetPackSize())); err != nil {\n\t\treturn err\n\t}\n\tvar errs []error"},
		in:    "node", tests: "TestRepoSizeOfFollowers",
	},
	{
		promise: "bounded", name: "a turn's changes are one write", file: "replica/turn.go",
		edits: []string{"len(g.table.dirty) > g.writeChanges || g.table.dirtyBytes > writeBytesMax", "g.table.dirtyBytes > 1<<20"},
		in:    "node/store", tests: "TestTurn(OfPrunedRefs|ThatCollects)",
	},
	{
		promise: "bounded", name: "an entry has room for a refusal of each operation beside all names", file: "replica/turn.go",
		edits: []string{"writeBytesMax   = 256 << 10", "writeBytesMax   = 1 << 20", "entryBytesMax = OperationsMax*(detailBytesMax+16) +", "entryBytesMax ="},
		in:    "node/store", tests: "TestTurnOfManyBytes",
	},
	{
		promise: "bounded", name: "as many transactions make room as it takes", file: "replica/kept.go",
		edits: []string{"worst[:min(keptDropMax-1, len(worst))]", "worst"},
		in:    "replica", tests: "TestKeptBoundOfSmallOnes",
	},
	{
		promise: "bounded", name: "a leader drops as many retired tips as it likes", file: "replica/retired.go",
		edits: []string{"if keep > collectMax+OperationsMax {", "if keep < 0 {"},
		in:    "replica", tests: "TestCollectTooMany",
	},
	{
		promise: "durable", name: "the log is forgotten before the table is stored", file: "replica/turn.go",
		edits: []string{"t.More[n-1].CompactTo = to", "t.Save.CompactTo = to"},
		in:    "node/store", tests: "TestTurnOfATombstone",
	},
	{
		promise: "durable", name: "raft's members are saved before the table that names them", file: "replica/turn.go",
		edits: []string{"Table: g.table.drain(), Conf: conf})\n\t\tconf = nil", "Table: g.table.drain()})\n\t\tif conf != nil {\n\t\t\tt.Save.Conf = conf\n\t\t}"},
		in:    "replica", tests: "TestSimulation$",
	},
}

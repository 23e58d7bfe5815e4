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
}

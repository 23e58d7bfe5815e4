package itest

// containerMutations are noticed by what happens to clusters in containers. Those of
// a test's own files break the fault instead, which then should not pass for one.
var containerMutations = []mutation{
	{
		promise: "one leader", name: "a deaf member disturbs the others (containers)", file: "replica/group.go",
		edits: []string{"PreVote:                   true", "PreVote:                   false"},
		in:    "itest/container", tests: "TestFlappingLink",
	},
	{
		promise: "durable", name: "links lose nothing (containers)", file: "itest/container/links_test.go",
		edits: []string{"c.slow(link{loss: 1})", "c.slow(link{loss: 0})"},
		in:    "itest/container", tests: "TestLossyLinks",
	},
	{
		promise: "one leader", name: "links are fast (containers)", file: "itest/container/links_test.go",
		edits: []string{"c.slow(link{delay: delay})", "c.slow(link{delay: delay / 100})"},
		in:    "itest/container", tests: "TestSlowLinks",
	},
	{
		promise: "durable", name: "nodes keep their binary (containers)", file: "itest/container/node.go",
		edits: []string{"CopyFileToContainer(ctx, binary, binaryPath, 0o755)", "CopyFileToContainer(ctx, binary, binaryPath+\".new\", 0o755)"},
		in:    "itest/container", tests: "TestRollingUpgrade",
	},
	{
		promise: "durable", name: "a store forgets its logs when it is opened (containers)", file: "node/store/store.go",
		edits: []string{"h, err := decodeHead(key, body)\n\t\ts.heads[repo] = h", "_, err = decodeHead(key, body)\n\t\t_ = repo"},
		in:    "itest/container", tests: "TestAllRestarted|TestPowerLossUnderLoad",
	},
	{
		promise: "ordered", name: "compare-and-swap swaps only (containers)", file: "replica/operate.go",
		edits: []string{"if !bytes.Equal(current.GetOid(), u.GetOld()) {", "if false {"},
		in:    "itest/container", tests: "TestTwoClientsRace|TestPowerLossUnderLoad",
	},
	{
		promise: "durable", name: "absence is not counted (containers)", file: "node/repair.go",
		edits: []string{"r.absent[p] = before + passed", "r.absent[p] = 0 * passed"},
		in:    "itest/container", tests: "TestNodeLostForGood",
	},
	{
		promise: "honest", name: "a node without room leads (containers)", file: "node/room.go",
		edits: []string{"if !n.ails.setFull(full) {", "if !n.ails.setFull(false) {"},
		in:    "itest/container", tests: "TestDiskFull",
	},
	{
		promise: "honest", name: "the database writes when the disk is full (containers)", file: "node/store/store.go",
		edits: []string{"if err := s.checkSpace(); err != nil {\n\t\ts.log.Warn", "if err := s.checkSpace(); err != nil && s == nil {\n\t\ts.log.Warn"},
		in:    "itest/container", tests: "TestDiskFull",
	},
	{
		promise: "durable", name: "all repositories go to the same nodes (containers)", file: "node/place.go",
		edits: []string{"h.Write(repo[:])", "h.Write(repo[:0])"},
		in:    "itest/container", tests: "TestManyRepositories",
	},
	{
		promise: "one leader", name: "nobody looks for a leader when a node is lost (containers)", file: "node/liveness.go",
		edits: []string{"} else if state.Leader == peer {\n\t\t\tif err := g.core.ForgetLeader()", "} else if state.Leader == peer && g == nil {\n\t\t\tif err := g.core.ForgetLeader()"},
		in:    "itest/container", tests: "TestManyRepositories",
	},
	{
		promise: "signed", name: "anybody may write (containers)", file: "replica/apply.go",
		edits: []string{"return t.policy.needs(signer, asWriter, \"write to \"+t.genesis.Name)", "return nil"},
		in:    "itest/container", tests: "TestClientWithoutANode",
	},
	{
		promise: "whole", name: "followers don't pass pushes on (containers)", file: "node/relay.go",
		edits: []string{"if leader == s.n.self {\n\t\treturn s.leadPush(ctx)", "if leader != \"\" {\n\t\treturn s.leadPush(ctx)"},
		in:    "itest/container", tests: "TestPushAndCloneAtEveryNode",
	},
	{
		promise: "one leader", name: "what is cut gets through (containers)", file: "itest/container/cuts.go",
		edits: []string{"if one.to == m {", "if one.to == m && false {"},
		in:    "itest/container", tests: "TestFaults|TestPartitionOfThree",
	},
	{
		promise: "durable", name: "nobody keeps records (containers)", file: "node/transport/records.go",
		edits: []string{"mode = dht.ModeServer", "mode = dht.ModeClient"},
		in:    "itest/container", tests: "TestBootstrapThenJoin",
	},
	{
		promise: "durable", name: "nodes forget each other when they stop (containers)", file: "node/transport/book.go",
		edits: []string{"for id, addrs := range loaded {", "for id, addrs := range loaded {\n\t\tcontinue"},
		in:    "itest/container", tests: "TestBootstrapDies",
	},
	{
		promise: "honest", name: "the image runs as root (containers)", file: "Dockerfile",
		edits: []string{"\nUSER peer\n", "\n"},
		in:    "itest/container", tests: "TestImage",
	},
	{
		promise: "honest", name: "a stop is a kill (containers)", file: "Dockerfile",
		edits: []string{"STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL"},
		in:    "itest/container", tests: "TestImage",
	},
	{
		promise: "honest", name: "the unit has its home elsewhere (containers)", file: "deploy/peer.service",
		edits: []string{"PEER_HOME=/var/lib/peer", "PEER_HOME=/srv/peer"},
		in:    "itest/container", tests: "TestDeployWithSystemd",
	},
	{
		promise: "honest", name: "the unit may do anything (containers)", file: "deploy/peer.service",
		edits: []string{"ProtectSystem=strict\n", "", "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged\n", "", "CapabilityBoundingSet=\n", ""},
		in:    "itest/container", tests: "TestUnit",
	},
	{
		promise: "honest", name: "the compose file leaves out the secret (containers)", file: "compose.yaml",
		edits: []string{"      PEER_SECRET: ${PEER_SECRET?put a secret into .env, or an empty one where the node joins by an invitation}\n", ""},
		in:    "itest/container", tests: "TestDeployWithCompose",
	},
}

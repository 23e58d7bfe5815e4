package itest

// proofMutations are the ways to show git refs that nobody signed for.
var proofMutations = []mutation{
	{
		promise: "proved", name: "any listing passes for the one that is signed", file: "cmd/session_proof.go",
		edits: []string{"if replica.Root(elements, l.Head) != l.Vouched.Refs {", "if len(elements) == 1<<30 {"},
		in:    "cmd", tests: "TestLyingListing",
	},
	{
		promise: "proved", name: "git is told what the replica's git lists", file: "git/lsrefs.go",
		edits: []string{"case q.lists && a.listing != nil:", "case q.lists && a.listing != nil && a.listing.Head == \"\":"},
		in:    "cmd", tests: "TestGitSeesWhatWasChecked",
	},
	{
		promise: "proved", name: "a replica looks up the refs that git fetches", file: "git/lsrefs.go",
		edits: []string{"return !slices.Contains(fetchFeatures, f)", "return f == \"no\""},
		in:    "cmd", tests: "TestHostileUploadPack",
	},
	{
		promise: "proved", name: "a replica answers a fetch with what git did not ask for", file: "git/lsrefs.go",
		edits: []string{"if q.lists {\n\t\tcheck = nil", "if !q.bye {\n\t\tcheck = nil"},
		in:    "cmd", tests: "TestHostileAnswers",
	},
	{
		promise: "proved", name: "a replica begins in any version of the protocol", file: "git/lsrefs.go",
		edits: []string{"if n == 0 && string(", "if n < 0 && string("},
		in:    "cmd", tests: "TestHostileUploadPack",
	},
	{
		promise: "proved", name: "a home goes back to an older policy", file: "cmd/pins_vouched.go",
		edits: []string{"case next.Policy < p.Policy:", "case next.Policy+p.Policy == 0:"},
		in:    "cmd", tests: "TestGraftedVoters",
	},
	{
		promise: "proved", name: "changes of the policy are kept that do not lead on", file: "replica/kept.go",
		edits: []string{"o.before.wire.GetVersion() == last && ", "last > 0 && "},
		in:    "replica", tests: "TestKeptOfOldTables",
	},
	{
		promise: "proved", name: "one voter is a majority", file: "replica/claim.go",
		edits: []string{"len(v.Signers) > len(v.Lineage.Last().Voters)/2", "len(v.Signers) > 0"},
		in:    "replica", tests: "TestVouched",
	},
	{
		promise: "proved", name: "a listing goes out without what the table dropped meanwhile", file: "node/prove.go",
		edits: []string{"e.claim != nil && e.stands {", "e.claim != nil {"},
		in:    "node", tests: "TestProofsOfWhatMoved",
	},
	{
		promise: "bounded", name: "who asks a replica that can't publish is kept for hours", file: "node/prove.go",
		edits: []string{"context.WithTimeout(ctx, behindTimeout)", "context.WithTimeout(ctx, pushTimeout)"},
		in:    "node", tests: "TestProofsOfWhatStaysUnpublished",
	},
	{
		promise: "proved", name: "a home goes sideways", file: "cmd/pins_vouched.go",
		edits: []string{"case v.Index == p.Index && (", "case v.Index == 0 && ("},
		in:    "cmd", tests: "TestGraftedVoters|TestLyingListing",
	},
	{
		promise: "proved", name: "a home forgets who voted", file: "cmd/pins_vouched.go",
		edits: []string{"case !v.Lineage.GoesOnFrom(p.Generation, configuration):", "case v.Lineage == nil && len(configuration) == 0:"},
		in:    "cmd", tests: "TestGraftedVoters|TestFormerVoters",
	},
	{
		promise: "proved", name: "what lacks a proof passes", file: "cmd/remote_proof.go",
		edits: []string{"r.onUnproved == \"\" && pinned.Vouched == nil", "r.onUnproved == \"\""},
		in:    "cmd", tests: "TestUnprovedFetch",
	},
	{
		promise: "proved", name: "anybody's signature proves a ref", file: "replica/proof.go",
		edits: []string{"if policy.role(p.signer) >= asWriter && policy.mayUpdate", "if policy.mayUpdate"},
		in:    "replica", tests: "TestProves",
	},
	{
		promise: "proved", name: "a signer is judged by another policy than that of then", file: "replica/proof.go",
		edits: []string{"if next.wire.GetVersion() < index {", "if index > 0 {"},
		in:    "replica", tests: "TestProves|TestKept",
	},
	{
		promise: "proved", name: "the policy need not follow from its changes", file: "replica/proof.go",
		edits: []string{"if !bytes.Equal(encode(t.policy.wire), encode(now)) {", "if bytes.Equal(nil, encode(now)) {"},
		in:    "replica", tests: "TestVouched",
	},
	{
		promise: "proved", name: "a transaction proves a ref at any object", file: "replica/proof.go",
		edits: []string{"return bytes.Equal(u.GetNew(), oid)", "return len(u.GetNew()) == len(oid)"},
		in:    "replica", tests: "TestProves",
	},
	{
		promise: "proved", name: "a transaction goes while a ref is where it put it", file: "replica/kept.go",
		edits: []string{"if t.kept.refs[index] == 0 {", "if index > 0 {"},
		in:    "replica", tests: "TestKept",
	},
	{
		promise: "proved", name: "one voter's policy counts where its changes were not kept", file: "replica/proof.go",
		edits: []string{"if v.history.assumed && !v.Majority() {", "if v.history.assumed && v.Signers == nil {"},
		in:    "replica", tests: "TestKeptOfOldTables",
	},
	{
		promise: "proved", name: "a replica takes more transactions than are kept", file: "replica/kept.go",
		edits: []string{"if t.kept.bytes > keptBytesMax {\n\t\t\treturn", "if t.kept.bytes < 0 {\n\t\t\treturn"},
		in:    "replica", tests: "TestTakesKept",
	},
	{
		promise: "proved", name: "a stale listing shows refs as they were", file: "cmd/proved.go",
		edits: []string{"if p.index > 0 && r.GetIndex() <= p.index && !p.has(r) {", "if p.index == 1<<63 && !p.has(r) {"},
		in:    "cmd", tests: "TestStaleListing|TestLyingListing",
	},
	{
		promise: "proved", name: "a stale listing shows old pushes as later ones", file: "replica/proof.go",
		edits: []string{"return p.tx.GetBase() >= index || slices", "return len(p.updates) > 0 || slices"},
		in:    "cmd", tests: "TestStaleListing",
	},
	{
		promise: "proved", name: "an honest push that was on its way is taken for an old one", file: "replica/proof.go",
		edits: []string{"return p.tx.GetBase() >= index || slices", "return p.tx.GetBase() >= index || from == nil && slices"},
		in:    "cmd", tests: "TestStaleListing",
	},
	{
		promise: "proved", name: "what was checked outlives its pin", file: "cmd/proved.go",
		edits: []string{"if index > pinned.Vouched.Index || ", "if "},
		in:    "cmd", tests: "TestProvedBeyondThePin",
	},
	{
		promise: "proved", name: "a home forgets since when signatures are kept", file: "cmd/pins_vouched.go",
		edits: []string{"if p == nil || p.KeptSince == 0 ||", "if p == nil || p.KeptSince < 1<<60 ||"},
		in:    "cmd", tests: "TestUnprovedFetch",
	},
}

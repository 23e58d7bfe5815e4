package git

import "strings"

// fsckSeverities softens what index-pack --strict otherwise refuses, for old
// histories that nobody can rewrite. The three are those that the large public
// forges let pass: the objects are odd, but every git reads them the same way
// and nothing on a disk or in a shell comes from them.
//
//   - badTimezone: commits with offsets such as +051800, written by old clients
//   - missingSpaceBeforeDate: the same, in the author or committer line
//   - zeroPaddedFilemode: trees with 040000 for 40000, written by old libraries
//
// All else keeps git's severity, and --strict makes its warnings errors: names
// such as .git, .. or the empty one in a tree, duplicate entries, broken
// .gitmodules.
var fsckSeverities = strings.Join([]string{
	"badTimezone=ignore",
	"missingSpaceBeforeDate=ignore",
	"zeroPaddedFilemode=ignore",
}, ",")

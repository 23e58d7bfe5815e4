// Package conform compares peer with git itself. Every row of its table is a few
// lines that people type; they run against a repository of peer and against a plain
// bare one, and everything that git says, and everything that is there afterwards, has
// to be the same. Where peer differs on purpose the row says how, and why.
//
// docs/git.md has the table, made from the rows. A network of three nodes serves them all.
package conform

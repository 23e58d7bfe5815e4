// Command bench measures peer against plain git and prints ratios.
//
//	go run ./bench [-quick] [-run REGEXP] [-rounds N] [-markdown | -json]
//
// It imports nothing of peer: it builds the binary, starts networks of it with
// "peer dev" on loopback, and drives them with git, as people do. A [row] is one
// line of the table of targets. Its contenders (peer, and git in the shapes that
// it is compared with) take turns, round after round, in an order that rotates,
// so that whatever else the machine does falls on all of them. What counts is
// therefore the ratio in one run and not any time by itself.
//
// Plain git comes in two shapes: "stock", as installed, and "careful", which
// means core.fsync=all and receive.fsckObjects=true in the receiving repository;
// stock git does not flush a small push at all.
//
// Every process that the bench starts is ended by its process ID, and all files
// but the cached test repositories are in one temporary directory.
package main

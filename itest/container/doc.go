// Package container drives clusters of peer in containers, each with a network of
// its own in which connections are cut, lossy or slow. Like package itest it sees
// what a user sees; people work inside the containers.
//
//	engine.go    the container engine: found, swept, or done without
//	image.go     the image, as the Dockerfile of the project says; rootfs.go: on a base of this machine's files
//	machine.go   a container in the cluster's network: commands, files, kill, pause
//	node.go      a machine that runs peer
//	cluster.go   nodes that know each other, and guests
//	cuts.go      who can't reach whom; links.go: how long it takes, what gets lost
//	disk.go      disks that can be full
//	repo.go      a repository: what its replicas say, and what is on their disks
//
// A cluster looks like this. All that nodes say to each other goes through the
// inner network, at fixed addresses; a dead address is silent there, as in life.
//
//	people at node1   people at node2   guests
//	      |                 |              |
//	    node1 ----------- node2 -------- guest     10.213.x.0/24, no way out
//	      |                 |
//	 127.0.0.1:port    127.0.0.1:port              published: git://, gRPC
//
// Environment: ITEST_IMAGE names an image that is built already; ITEST_BASE_IMAGE
// what the Dockerfile begins from, alpine:3.22 for instance, or scratch-host,
// which is this machine's git and tools and needs no registry (the default on
// Linux). ITEST_REQUIRE=1 makes a missing engine, and all else that tests skip
// for, a failure. PEER_BIN names a binary that is built already.
package container

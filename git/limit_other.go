//go:build !linux

package git

// limitChild cannot reach into another process on these systems. What bounds a
// pack there is its size, the context's deadline, and git's own
// configuration.
func limitChild(int, limits) error { return nil }

func physicalMemory() int64 { return 0 }

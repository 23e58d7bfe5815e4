package store

import (
	"encoding/binary"

	"peer/identity"
)

// The first byte of a key says what it is. Part of the on-disk format.
const (
	prefixMeta    byte = 0x00
	prefixHead    byte = 0x01
	prefixHard    byte = 0x02
	prefixConf    byte = 0x03
	prefixSeat    byte = 0x04
	prefixTrimmed byte = 0x05
	prefixGarbage byte = 0x06
	prefixData    byte = 0x07
	prefixNode    byte = 0x08
)

// What a key of a generation is.
const (
	kindEntry byte = 0x01
	kindTable byte = 0x02
)

// generation numbers one incarnation of a repository's log and table.
type generation uint64

const (
	generationKeySize = 1 + 8
	dataPrefixSize    = generationKeySize + 1
	entryKeySize      = dataPrefixSize + 8
	repoKeySize       = 1 + len(identity.RepoID{})
)

var formatKey = append([]byte{prefixMeta}, "format"...)

func repoKey(prefix byte, repo identity.RepoID) []byte {
	key := make([]byte, 0, repoKeySize)
	return append(append(key, prefix), repo[:]...)
}

func generationKey(prefix byte, g generation) []byte {
	key := make([]byte, 0, generationKeySize)
	return binary.BigEndian.AppendUint64(append(key, prefix), uint64(g))
}

func dataPrefix(g generation, kind byte) []byte {
	key := make([]byte, 0, entryKeySize)
	key = binary.BigEndian.AppendUint64(append(key, prefixData), uint64(g))
	return append(key, kind)
}

func entryKey(g generation, index uint64) []byte {
	return binary.BigEndian.AppendUint64(dataPrefix(g, kindEntry), index)
}

func tableKey(g generation, key string) []byte { return append(dataPrefix(g, kindTable), key...) }

func nodeKey(key string) []byte { return append([]byte{prefixNode}, key...) }

func parseRepoKey(key []byte) (identity.RepoID, error) {
	if len(key) != repoKeySize {
		return identity.RepoID{}, corrupt(key, "key of the wrong size")
	}
	return identity.RepoID(key[1:]), nil
}

func parseGenerationKey(key []byte) (generation, error) {
	if len(key) != generationKeySize {
		return 0, corrupt(key, "key of the wrong size")
	}
	return generation(binary.BigEndian.Uint64(key[1:])), nil
}

func parseEntryKey(key []byte) (generation, uint64, error) {
	if len(key) != entryKeySize || key[0] != prefixData || key[dataPrefixSize-1] != kindEntry {
		return 0, 0, corrupt(key, "not the key of an entry")
	}
	g, err := parseGenerationKey(key[:generationKeySize])
	return g, binary.BigEndian.Uint64(key[dataPrefixSize:]), err
}

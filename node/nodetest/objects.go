package nodetest

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // SHA-1 is what names git's objects
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"sort"
	"strings"

	"peer/git"
)

// Object is one of git's objects, made without git, so it may be one that git
// would not make.
type Object struct {
	Type git.ObjectType
	Data []byte
	OID  git.OID
}

// Maker makes objects of one format. The zero value makes SHA-1's.
type Maker struct{ Format git.Format }

func (m Maker) hash() hash.Hash {
	if m.Format == git.SHA256 {
		return sha256.New()
	}
	return sha1.New()
}

// Object makes any object.
func (m Maker) Object(t git.ObjectType, data []byte) Object {
	h := m.hash()
	fmt.Fprintf(h, "%s %d\x00", t, len(data))
	h.Write(data)
	oid, err := git.FromBytes(h.Sum(nil))
	if err != nil {
		panic(err) // both hashes have a size that git knows
	}
	return Object{t, data, oid}
}

// Blob makes a file's content.
func (m Maker) Blob(data []byte) Object { return m.Object(git.Blob, data) }

// Tree makes a directory of files, given by name.
func (m Maker) Tree(files map[string]Object) Object {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	key := func(name string) string { // git sorts a directory as if its name ended in a slash
		if files[name].Type == git.Tree {
			return name + "/"
		}
		return name
	}
	sort.Slice(names, func(i, j int) bool { return key(names[i]) < key(names[j]) })
	var b bytes.Buffer
	for _, name := range names {
		mode := "100644"
		if files[name].Type == git.Tree {
			mode = "40000"
		}
		fmt.Fprintf(&b, "%s %s\x00", mode, name)
		b.Write(files[name].OID.Bytes())
	}
	return m.Object(git.Tree, b.Bytes())
}

// Commit makes a commit of a tree.
func (m Maker) Commit(tree git.OID, message string, parents ...git.OID) Object {
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", tree)
	for _, p := range parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	const who = "Ann <ann@example.org> 1700000000 +0000"
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s\n", who, who, message)
	return m.Object(git.Commit, []byte(b.String()))
}

// Tag makes an annotated tag.
func (m Maker) Tag(name string, of Object) Object {
	return m.Object(git.Tag, fmt.Appendf(nil,
		"object %s\ntype %s\ntag %s\ntagger Ann <ann@example.org> 1700000000 +0000\n\nrelease\n", of.OID, of.Type, name))
}

// Change is a commit with all objects that it adds.
type Change struct {
	OID     git.OID // of the commit
	Objects []Object
}

// File makes a commit with one file of bytes that don't compress. The same seed
// makes the same bytes.
func (m Maker) File(seed uint64, sizeBytes int, parents ...git.OID) Change {
	content := make([]byte, sizeBytes)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(content) // never fails
	blob := m.Blob(content)
	tree := m.Tree(map[string]Object{"file": blob})
	commit := m.Commit(tree.OID, fmt.Sprintf("change %d", seed), parents...)
	return Change{commit.OID, []Object{commit, tree, blob}}
}

// Pack is the pack of the change.
func (c Change) Pack(m Maker) []byte { return m.Pack(c.Objects...) }

// Pack writes objects into a pack, without deltas.
func (m Maker) Pack(objects ...Object) []byte {
	var b bytes.Buffer
	b.WriteString("PACK")
	b.Write(binary.BigEndian.AppendUint32(nil, 2))
	b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(objects))))
	for _, o := range objects {
		b.Write(entryHeader(o))
		z, err := zlib.NewWriterLevel(&b, zlib.BestSpeed)
		if err != nil {
			panic(err) // the level is one of the package's own
		}
		_, _ = z.Write(o.Data) // a buffer's never fails
		_ = z.Close()
	}
	h := m.hash()
	h.Write(b.Bytes())
	return h.Sum(b.Bytes())
}

// entryHeader is the type and the size, seven bits at a time, four in the first byte.
func entryHeader(o Object) []byte {
	kind := map[git.ObjectType]byte{git.Commit: 1, git.Tree: 2, git.Blob: 3, git.Tag: 4}[o.Type]
	size := len(o.Data)
	head := []byte{kind<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	return head
}

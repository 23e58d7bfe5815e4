package store

import "peer/replica"

// Limits of what is stored, in bytes unless they say otherwise.
const (
	// TableBytesMax bounds keys and values together of the Table of one Save
	// without Install. It and TableChangesMax keep a Save's changes in one
	// transaction. Badger takes one for each 96 bytes of 15 % of a memtable, which
	// is 104,857, and as many bytes as that is, of which each change takes 26 besides.
	TableBytesMax = replica.SaveBytesMax
	// TableChangesMax bounds the number of changes likewise.
	TableChangesMax = replica.SaveChangesMax
	// ValueBytesMax bounds one value of a table, or of the node.
	ValueBytesMax = 4 << 20
	// KeyBytesMax bounds one key of a table, or of the node.
	KeyBytesMax = 16 << 10
	// EntryBytesMax bounds the data of one entry.
	EntryBytesMax = replica.EntryBytesMax
	// NonceBytesMax bounds the nonce of a seat.
	NonceBytesMax = 256
)

// CheckLimits returns a [*TooLargeError] when save is too large to be stored.
func CheckLimits(save *replica.Save) error {
	check := func(what string, size, max int) error {
		if size <= max {
			return nil
		}
		return &TooLargeError{Repo: save.Repo, What: what, Size: size, Max: max}
	}
	for _, e := range save.Entries {
		if err := check("bytes in an entry", len(e.GetData()), EntryBytesMax); err != nil {
			return err
		}
	}
	total := 0
	for _, c := range save.Table {
		if err := check("bytes in a key of the table", len(c.Key), KeyBytesMax); err != nil {
			return err
		}
		if err := check("bytes in a value of the table", len(c.Value), ValueBytesMax); err != nil {
			return err
		}
		total += len(c.Key) + len(c.Value)
	}
	if save.Install != nil {
		return nil // a whole table goes in pieces
	}
	if err := check("changes to the table in one save", len(save.Table), TableChangesMax); err != nil {
		return err
	}
	return check("bytes of changes to the table in one save", total, TableBytesMax)
}

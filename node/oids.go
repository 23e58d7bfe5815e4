package node

import (
	"peer/git"
	"peer/replica"
)

func oids(raw [][]byte) ([]git.OID, error) {
	list := make([]git.OID, 0, len(raw))
	for _, b := range raw {
		oid, err := git.FromBytes(b)
		if err != nil {
			return nil, err
		}
		list = append(list, oid)
	}
	return list, nil
}

// newOIDs are the objects that refs were moved to.
func newOIDs(updates []replica.RefChange) ([]git.OID, error) {
	var news []git.OID
	for _, u := range updates {
		oid, err := git.FromBytes(u.New)
		if err != nil {
			return nil, err
		}
		if !oid.IsZero() {
			news = append(news, oid)
		}
	}
	return news, nil
}

func rawOIDs(oids []git.OID) [][]byte {
	raw := make([][]byte, len(oids))
	for i, o := range oids {
		raw[i] = o.Bytes()
	}
	return raw
}

func unique(oids []git.OID) []git.OID {
	seen := make(map[git.OID]bool, len(oids))
	var list []git.OID
	for _, o := range oids {
		if !seen[o] {
			seen[o] = true
			list = append(list, o)
		}
	}
	return list
}

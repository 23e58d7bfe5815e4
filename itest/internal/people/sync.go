package people

import (
	"errors"
	"fmt"
	"sync"
)

// Named is the user of a node.
type Named struct {
	Name string
	*Person
}

// InSync asks all of them about a repository at once, and says what is missing
// until every replica is alive, in sync and at one index, by everybody's word.
func InSync(repo string, all []Named) error {
	states, errs := make([]Repo, len(all)), make([]error, len(all))
	var asking sync.WaitGroup
	for i, n := range all {
		asking.Go(func() { states[i], errs[i] = n.Show(repo) })
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, s := range states {
		switch {
		case s.Problem != "":
			return fmt.Errorf("%s has a problem: %s", all[i].Name, s.Problem)
		case s.Leader == "" || len(s.Replicas) == 0:
			return fmt.Errorf("%s knows no leader", all[i].Name)
		}
		for _, p := range s.Replicas {
			if !p.Alive || !p.InSync || p.Index != states[0].Index || s.Index != states[0].Index {
				return fmt.Errorf("%s sees replica %s at index %d of %d, alive %v, in sync %v", all[i].Name, p.Peer, p.Index, s.Index, p.Alive, p.InSync)
			}
		}
	}
	return nil
}

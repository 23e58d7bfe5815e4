package cmd

import (
	"testing"

	"peer/identity"
)

func TestAccept(t *testing.T) {
	home := testHome(t)
	own, err := home.Key()
	if err != nil {
		t.Fatal(err)
	}
	friend, listed, stranger := identity.KeyFromSeed([32]byte{1}).Public(), identity.KeyFromSeed([32]byte{2}).Public(), identity.KeyFromSeed([32]byte{3}).Public()
	if err := home.SetAlias("listed", listed, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		words                         []string
		closed                        bool
		own, friend, listed, stranger bool
	}{
		{nil, true, true, true, true, true},
		{nil, false, true, true, true, false},
		{[]string{"all"}, false, true, true, true, true},
		{[]string{"known"}, true, true, true, true, false},
		{[]string{"listed"}, false, true, false, true, false},
		{[]string{stranger.DID(), "known"}, false, true, true, true, true},
		{[]string{"me"}, true, true, false, false, false},
	} {
		a, err := parseAccept(home, c.words, c.closed)
		if err != nil {
			t.Fatal(c.words, err)
		}
		_ = home.RemoveAlias("friend") // a petname counts from when it is given
		hosts := a.hosts()
		if err := home.SetAlias("friend", friend, false); err != nil {
			t.Fatal(err)
		}
		for who, want := range map[identity.PublicKey]bool{own.Public(): c.own, friend: c.friend, listed: c.listed, stranger: c.stranger} {
			if got := hosts == nil || hosts(who); got != want {
				t.Errorf("--accept %v, closed %v (%s): %s: %v", c.words, c.closed, a, who.DID(), got)
			}
		}
	}
	for _, words := range [][]string{{"nobody-of-this-name"}, {"all", "known"}, {""}} {
		if a, err := parseAccept(home, words, true); err == nil {
			t.Errorf("--accept %q: %s", words, a)
		}
	}
}

func TestSizeFlag(t *testing.T) {
	for text, want := range map[string]sizeFlag{
		"1000": 1000, "20GB": 20e9, "512MiB": 512 << 20, "1.5 k": 1500, "3t": 3e12, "7B": 7,
		"": 0, "0": 0, "-1": 0, "much": 0, "1e30": 0, "NaN": 0, "20GBs": 0, "inf": 0,
	} {
		var s sizeFlag
		if err := s.UnmarshalText([]byte(text)); s != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v", text, s, err)
		}
	}
}

package identity

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	v := vectors[0]
	for name, s := range map[string]string{
		"empty":                "",
		"spaces":               " " + v.peer,
		"a digit more":         v.peer + "1",
		"a digit less":         v.peer[:len(v.peer)-1],
		"not base58":           strings.Replace(v.peer, "K", "0", 1),
		"outside ASCII":        v.peer + "é",
		"long":                 strings.Repeat("1", 1<<20),
		"RSA peer ID":          "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
		"did of nothing":       "did:key:z",
		"did of another kind":  "did:web:example.org",
		"did, X25519":          "did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc",
		"did, a digit more":    v.did + "1",
		"did, another base":    strings.Replace(v.did, "did:key:z", "did:key:f", 1),
		"did, peer ID in it":   "did:key:z" + v.peer,
		"peer ID, did in it":   strings.TrimPrefix(v.did, "did:key:z"),
		"did, upper case":      strings.ToUpper(v.did),
		"did with a fragment":  v.did + "#" + v.did,
		"leading zero in did":  "did:key:z1" + strings.TrimPrefix(v.did, "did:key:z"),
		"leading zero in peer": "1" + v.peer,
	} {
		if key, err := ParseOwner(s); err == nil {
			t.Errorf("%s: owner %x", name, key)
		}
		if p, err := ParsePeerID(s); err == nil {
			t.Errorf("%s: peer ID %s", name, p)
		}
	}
	for _, raw := range [][]byte{nil, make([]byte, 38), []byte(vectors[0].public), append([]byte(v.key(t).PeerID()), 0)} {
		if p, err := PeerIDFromBytes(raw); err == nil {
			t.Errorf("peer ID %x", string(p))
		}
		if _, err := ParsePublicKey(raw); err == nil {
			t.Errorf("public key of %d bytes", len(raw))
		}
		if _, err := RepoIDFromBytes(raw); err == nil {
			t.Errorf("repository ID of %d bytes", len(raw))
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "0", "demo", "my-repo", "my_repo.v2", "A.b-c_d", strings.Repeat("x", NameBytesMax), "git", "x.gits", "lock"} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".git", "-rf", "_x", "a/b", "a\\b", "a b", "a\x00", "a\n", "é", "a..b", "a.", "a.git", "A.GIT", "a.lock", "a.Lock",
		"a.git.", "a:b", "a~", "~a", "a?b", "a%2fb", strings.Repeat("x", NameBytesMax+1), "a\u202e",
	} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q is accepted as a name", name)
		}
	}
}

func TestParseURL(t *testing.T) {
	v := vectors[0]
	public := v.key(t).Public()
	ann := vectors[1].key(t).Public()
	expand := func(petname string) (PublicKey, error) {
		if petname == "ann" {
			return ann, nil
		}
		return PublicKey{}, errors.New("nobody is called that")
	}
	for url, owner := range map[string]PublicKey{
		"peer://" + v.did + "/demo":      public,
		"peer://" + v.peer + "/demo":     public,
		"peer://" + v.did + "/demo.git":  public,
		"peer://" + v.did + "/demo/":     public,
		"peer://" + v.did + "/demo.git/": public,
		"peer://ann/demo":                ann,
	} {
		a, err := ParseURL(url, expand)
		if err != nil || a.Owner != owner || a.Name != "demo" || a.RepoID() != NewRepoID(owner, "demo") {
			t.Errorf("%s: %+v, %v", url, a, err)
		}
	}
	if a, err := ParseURL("peer://"+v.peer+"/demo", nil); err != nil || a.URL() != "peer://"+v.did+"/demo" {
		t.Errorf("URL %s, %v", a.URL(), err)
	}
	for _, url := range []string{
		"", "peer:", "peer://", "peer:///", "peer:///demo", "http://" + v.did + "/demo", "PEER://" + v.did + "/demo", v.did + "/demo",
		"peer://" + v.did, "peer://" + v.did + "/", "peer://" + v.did + "//demo", "peer://" + v.did + "/a/b", "peer://" + v.did + "/../x",
		"peer://" + v.did + "/demo//", "peer://" + v.did + "/demo.git.git", "peer://bob/demo", "peer://did:key:ann/demo", "peer://user@" + v.did + "/demo",
		"peer://" + v.did + "/demo?x", "peer://" + v.did + "/%64emo", " peer://" + v.did + "/demo",
	} {
		if a, err := ParseURL(url, expand); err == nil {
			t.Errorf("%q: %+v", url, a)
		}
	}
	if _, err := ParseURL("peer://ann/demo", nil); err == nil {
		t.Error("a petname means something without anybody to ask")
	}
	// A did is never a petname, even one that does not parse.
	if _, err := ParseURL("peer://did:key:x/demo", func(string) (PublicKey, error) { return ann, nil }); err == nil {
		t.Error("a did was looked up as a petname")
	}
}

func TestRepoID(t *testing.T) {
	a, b := vectors[0].key(t).Public(), vectors[1].key(t).Public()
	id := NewRepoID(a, "demo")
	if id == NewRepoID(b, "demo") || id == NewRepoID(a, "demo2") {
		t.Error("two repositories have one ID")
	}
	if back, err := ParseRepoID(id.String()); err != nil || back != id {
		t.Errorf("%s parses as %s, %v", id, back, err)
	}
	if back, err := RepoIDFromBytes(id[:]); err != nil || back != id {
		t.Errorf("%s from bytes is %s, %v", id, back, err)
	}
	if !strings.HasPrefix(id.String(), id.Short()) {
		t.Errorf("%s is not the beginning of %s", id.Short(), id)
	}
	for _, s := range []string{"", "zz", id.String()[:62], id.String() + "00", "0x" + id.String()[2:]} {
		if _, err := ParseRepoID(s); err == nil {
			t.Errorf("%q is accepted as a repository ID", s)
		}
	}
}

func FuzzParsePeerID(f *testing.F) {
	f.Add(vectors[0].peer)
	f.Add("1" + vectors[0].peer)
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePeerID(s); err == nil && p.String() != s {
			t.Errorf("%q parses as %s", s, p)
		}
	})
}

func FuzzParseOwner(f *testing.F) {
	f.Add(vectors[0].peer)
	f.Add(vectors[0].did)
	f.Add("did:key:z1")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := ParseOwner(s)
		if err == nil && key.DID() != s && key.PeerID().String() != s {
			t.Errorf("%q parses as %s", s, key.DID())
		}
	})
}

func FuzzParseURL(f *testing.F) {
	f.Add("peer://" + vectors[0].did + "/demo.git/")
	f.Add("peer://" + vectors[0].peer + "/demo")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseURL(s, nil)
		if err != nil {
			return
		}
		if again, err := ParseURL(a.URL(), nil); err != nil || again != a {
			t.Errorf("%q parses as %+v, and %s as %+v, %v", s, a, a.URL(), again, err)
		}
		if rest := strings.TrimSuffix(strings.TrimSuffix(s, "/"), ".git"); rest != a.URL() && rest != URLScheme+a.Owner.PeerID().String()+"/"+a.Name {
			t.Errorf("%q parses as %s", s, a.URL())
		}
	})
}

// FuzzCheckName checks what everybody who uses a name relies on.
func FuzzCheckName(f *testing.F) {
	f.Add("demo")
	f.Add("a.b-c_d")
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) != nil {
			return
		}
		if filepath.Base(name) != name || !filepath.IsLocal(name) || len(name) > NameBytesMax || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || name[0] == '-' || name[0] == '.' {
			t.Errorf("%q is accepted", name)
		}
		a := Address{Owner: vectors[0].key(t).Public(), Name: name}
		if again, err := ParseURL(a.URL(), nil); err != nil || again != a {
			t.Errorf("%s parses as %+v, %v", a.URL(), again, err)
		}
	})
}

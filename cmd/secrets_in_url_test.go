package cmd

import (
	"strings"
	"testing"
)

func TestPublicURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://ann:word@example.org/p.git":        "https://***@example.org/p.git",
		"https://token@example.org/p.git":           "https://***@example.org/p.git",
		"https://example.org/p.git?private=token":   "https://example.org/p.git?***",
		"https://ann:wo@rd@example.org":             "https://***@example.org",
		"ssh://git@example.org/p":                   "ssh://git@example.org/p",
		"ssh://git:word@example.org/p":              "ssh://git:***@example.org/p",
		"https://example.org/a@b":                   "https://example.org/a@b",
		"git@example.org:p":                         "git@example.org:p",
		"/srv/p":                                    "/srv/p",
		"file:///srv/p":                             "file:///srv/p",
		"peer://did:key:z6MkhaXgBZDvotDkL5257/proj": "peer://did:key:z6MkhaXgBZDvotDkL5257/proj",
	} {
		if got := publicURL(url); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
	for _, said := range []string{
		"fatal: unable to access 'https://ann:word@example.org/p.git/': no route",
		"fatal: Authentication failed for 'https://ann@example.org/p.git/'",
		"word is wrong",
	} {
		got := withoutSecrets(said, "https://ann:word@example.org/p.git")
		if strings.Contains(got, "word") || strings.Contains(got, "ann@") {
			t.Errorf("%q becomes %q", said, got)
		}
	}
}

func TestDiscreetWriter(t *testing.T) {
	t.Parallel()
	const url = "https://ann:word@example.org/p.git?token=s3cret"
	text := "one\rtwo\n" + url + "\nunable to access 'https://example.org/p.git?token=s3cret/': no\nredirecting to https://b.example.org/?token=s3cret"
	want := "one\rtwo\n" + publicURL(url) + "\nunable to access 'https://example.org/p.git?***/': no\nredirecting to https://b.example.org/?***"
	for _, size := range []int{1, 7, len(text)} {
		var shown strings.Builder
		w := &discreetWriter{to: &shown, url: url}
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if n, err := w.Write([]byte(rest[:min(size, len(rest))])); err != nil || n != min(size, len(rest)) {
				t.Fatal(n, err)
			}
		}
		w.flush()
		if shown.String() != want {
			t.Errorf("in writes of %d: %q", size, shown.String())
		}
	}
}

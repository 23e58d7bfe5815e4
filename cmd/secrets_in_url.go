package cmd

import (
	"bytes"
	"io"
	neturl "net/url"
	"strings"
)

// userInfo is what stands before the host of a URL, with what is around it.
func userInfo(url string) (before, user, after string) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url, "", "" // a path, or USER@HOST:PATH, which holds no password
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	return scheme + "://", rest[:at+1], rest[at+1:]
}

// httpPassword takes user and password out of a URL, as git reads them there; ok
// says that it has both, and is of a kind of which git asks for them.
func httpPassword(url string) (user, password, bare string, ok bool) {
	scheme, info, place := userInfo(url)
	name, word, both := strings.Cut(strings.TrimSuffix(info, "@"), ":")
	user, badUser := neturl.PathUnescape(name)
	password, badWord := neturl.PathUnescape(word)
	switch {
	case !both, badUser != nil, badWord != nil, scheme != "http://" && scheme != "https://",
		strings.ContainsAny(user+password, "\n\r\x00"), // which no credential may hold
		strings.ContainsAny(place, "=?#"):              // which end the name of a setting, or a host
		return "", "", url, false
	}
	return user, password, scheme + place, true
}

// publicURL is url as others may see it: without what may be a password or a token.
func publicURL(url string) string {
	before, user, after := userInfo(url)
	if place, query, asks := strings.Cut(after, "?"); asks && query != "" {
		after = place + "?***"
	}
	name, _, secret := strings.Cut(user, ":")
	switch {
	case user == "":
	case !strings.Contains(before, "ssh"): // some sites take a token for the user
		user = "***@"
	case secret:
		user = name + ":***@"
	}
	return before + user + after
}

// withoutSecrets is a text about url without what publicURL leaves out.
func withoutSecrets(text, url string) string {
	shown := publicURL(url)
	if shown == url {
		return text
	}
	_, user, after := userInfo(url)
	name, password, _ := strings.Cut(strings.TrimSuffix(user, "@"), ":")
	_, query, _ := strings.Cut(after, "?")
	text = strings.ReplaceAll(text, url, shown)
	for _, secret := range []string{user, password, name + "@", query} {
		if len(secret) > 1 && secret != "git@" { // of ssh, and no secret
			text = strings.ReplaceAll(text, secret, "***"+secret[len(strings.TrimSuffix(secret, "@")):])
		}
	}
	return text
}

// discreetLineMax is how long a line gets before it is passed on in pieces.
const discreetLineMax = 64 << 10

// discreetWriter passes on lines without the secrets of a URL.
type discreetWriter struct {
	to   io.Writer
	url  string
	line []byte // begun, and not passed on
}

func (w *discreetWriter) Write(p []byte) (int, error) {
	w.line = append(w.line, p...)
	end := bytes.LastIndexAny(w.line, "\r\n") + 1 // progress ends with \r
	if end == 0 && len(w.line) > discreetLineMax {
		end = len(w.line)
	}
	whole := string(w.line[:end])
	w.line = w.line[end:]
	if _, err := io.WriteString(w.to, withoutSecrets(whole, w.url)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush passes on a last line without an end.
func (w *discreetWriter) flush() {
	_, _ = io.WriteString(w.to, withoutSecrets(string(w.line), w.url))
	w.line = nil
}

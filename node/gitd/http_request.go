package gitd

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"peer/identity"
)

// webRequest is what a client wants over HTTP.
type webRequest struct {
	path    string // OWNER/NAME, without slashes around it
	service Service
	version int
	listing bool // info/refs; otherwise the service itself
}

// httpError is a refusal that has a status. Its text is for the client: git shows it
// behind "remote:".
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

var errNoSuchPage = &httpError{http.StatusNotFound, "clone with git: http://HOST/OWNER/NAME, of letters, digits and . _ - : alone"}

// parseWeb understands a request, from its line and its headers alone. Every error is
// an *httpError.
func parseWeb(r *http.Request) (webRequest, error) {
	path, page, ok := cutPage(r.URL.EscapedPath())
	if !ok {
		return webRequest{}, errNoSuchPage
	}
	q := webRequest{path: path, version: newestOf(r.Header.Get("Git-Protocol")), listing: page == "info/refs"}
	if !q.listing {
		q.service = Service(page)
		if r.Method != http.MethodPost {
			return q, &httpError{http.StatusMethodNotAllowed, "want POST"}
		}
		want := "application/x-" + page + "-request"
		// NB: a web page may send this type only after asking, and is not allowed to.
		if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
			return q, &httpError{http.StatusUnsupportedMediaType, "want Content-Type: " + want}
		}
		return q, nil
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return q, &httpError{http.StatusMethodNotAllowed, "want GET"}
	}
	if r.ContentLength != 0 { // it would be read before the answer, for as long as the client likes
		return q, &httpError{http.StatusBadRequest, "a listing is asked for without a body"}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, &httpError{http.StatusBadRequest, "unreadable query"}
	}
	switch q.service = Service(query.Get("service")); q.service {
	case UploadPack, ReceivePack:
		return q, nil
	case "":
		return q, &httpError{http.StatusForbidden, "this git is too old for this port: it wants one of 2009 or newer"}
	}
	return q, &httpError{http.StatusForbidden, "no such service here: clone, fetch and ls-remote work, archive over git:// and peer://"}
}

// cutPage takes a path apart: /OWNER/NAME/PAGE. Nothing in it may be an escape, but for
// the colon of a did:key, which some clients think needs one.
func cutPage(escaped string) (path, page string, ok bool) {
	path, ok = strings.CutPrefix(strings.NewReplacer("%3A", ":", "%3a", ":").Replace(escaped), "/")
	if !ok {
		return "", "", false
	}
	for _, page := range []string{"info/refs", string(UploadPack), string(ReceivePack)} {
		if repo, found := strings.CutSuffix(path, "/"+page); found {
			owner, name, _ := strings.Cut(repo, "/")
			fit := owner != "" && name != "" && !strings.Contains(name, "/") && !strings.ContainsFunc(repo, odd)
			return repo, page, fit
		}
	}
	return "", "", false
}

// admitPage keeps web pages out: what git sends says of no page that it comes from
// one. A page can also have a name of its own lead to this machine, so that a browser
// takes this port for the page's; so only names are answered to that are no page's.
func admitPage(r *http.Request, names []string) error {
	if !knownHost(r.Host, names) {
		return &httpError{http.StatusMisdirectedRequest, fmt.Sprintf("this port is not called %.100q: use its address, or start the node with --http-name", hostOf(r.Host))}
	}
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin" {
		return &httpError{http.StatusForbidden, "this port is for git, and not for web pages"}
	}
	return nil
}

// hostOf leaves out the port.
func hostOf(host string) string {
	if bracket := strings.LastIndexByte(host, ']'); strings.LastIndexByte(host, ':') > bracket {
		host = host[:strings.LastIndexByte(host, ':')]
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

// knownHost says whether a Host header names this machine: an address does, since no
// page can be called one.
func knownHost(host string, names []string) bool {
	host = hostOf(host)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for _, name := range append([]string{"localhost"}, names...) {
		if strings.EqualFold(host, name) {
			return true
		}
	}
	return false
}

// forwarded says that somebody speaks for somebody else, who need not be on this
// machine.
func forwarded(h http.Header) bool {
	for name := range h {
		switch {
		case strings.HasPrefix(name, "X-Forwarded"), name == "Forwarded", name == "Via", name == "X-Real-Ip", name == "X-Client-Ip":
			return true
		}
	}
	return false
}

// webError is an error as HTTP has it.
func webError(err error) *httpError {
	var said *httpError
	var refusal *Refusal
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, ErrNotFound):
		return &httpError{http.StatusNotFound, refusalText(err)}
	case errors.As(err, &refusal):
		return &httpError{http.StatusServiceUnavailable, refusal.Text}
	}
	return &httpError{http.StatusInternalServerError, refusalText(err)}
}

func (q webRequest) address(owner func(petname string) (identity.PublicKey, error)) (identity.Address, error) {
	return request{path: q.path}.address(owner)
}

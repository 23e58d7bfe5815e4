package gitd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"peer/identity"
)

// request is the line with which a client begins.
type request struct {
	service Service
	path    string // OWNER/NAME, without slashes around it
	version int    // of git's protocol: the newest that both sides know
}

const newestVersion = 2

var (
	errBadRequest = errors.New("not a git request")
	errBadPath    = errors.New("want git://HOST/OWNER/NAME, of letters, digits and . _ - : alone")
)

// readRequest reads exactly one pkt-line: what follows it belongs to git. The
// error is errBadPath for a git client that asks for what can't be a repository.
func readRequest(r io.Reader) (request, error) {
	line, err := readPkt(r, make([]byte, requestBytesMax))
	if err != nil {
		return request{}, err
	}
	return parseRequest(line)
}

// parseRequest reads "SERVICE /PATH", NUL, "host=…", NUL, and, if there is an
// empty part then, parameters that end with NUL each. Hosts are not told apart.
func parseRequest(line []byte) (request, error) {
	command, extra, _ := bytes.Cut(line, []byte{0})
	service, path, ok := strings.Cut(strings.TrimSuffix(string(command), "\n"), " ")
	q := request{service: Service(service)}
	switch q.service {
	case UploadPack, UploadArchive, ReceivePack:
	default:
		ok = false
	}
	if !ok {
		return request{}, fmt.Errorf("%w: %.40q", errBadRequest, command)
	}
	q.version = parseVersion(extra)
	if q.path, ok = strings.CutPrefix(path, "/"); !ok {
		return q, errBadPath
	}
	q.path = strings.TrimSuffix(q.path, "/")
	owner, name, _ := strings.Cut(q.path, "/")
	if owner == "" || name == "" || strings.Contains(name, "/") || strings.ContainsFunc(q.path, odd) {
		return q, errBadPath
	}
	return q, nil
}

// odd says that a character has no place in a path. That leaves out everything
// that one could take for an escape of another.
func odd(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("./_-:", r)
}

// parseVersion finds the newest version that the client offers. One that offers
// none speaks version 0.
func parseVersion(extra []byte) int {
	parameters, hostless := bytes.CutPrefix(extra, []byte{0})
	if !hostless {
		_, parameters, _ = bytes.Cut(extra, []byte{0, 0})
	}
	version := 0
	for parameter := range bytes.SplitSeq(parameters, []byte{0}) {
		version = max(version, newestOf(string(parameter)))
	}
	return version
}

// newestOf finds the newest version in a list as GIT_PROTOCOL has it.
func newestOf(list string) int {
	version := 0
	for key := range strings.SplitSeq(list, ":") {
		number, ok := strings.CutPrefix(key, "version=")
		if ok && len(number) == 1 && '0' <= number[0] && number[0] <= '0'+newestVersion {
			version = max(version, int(number[0]-'0'))
		}
	}
	return version
}

// address is the repository that the client means.
func (q request) address(owner func(petname string) (identity.PublicKey, error)) (identity.Address, error) {
	return identity.ParseOwnerAndName(q.path, owner)
}

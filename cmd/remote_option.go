package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"peer/git"
)

// pushOptionsMax bounds the options of one push. They ride in the log.
const pushOptionsMax = 100

// errUnsupported makes git go on without the option, or say that it can't.
var errUnsupported = errors.New("unsupported")

// remoteOptions is what git asked for with "option" lines. They hold for the
// pushes that follow.
type remoteOptions struct {
	progress    bool
	verbosity   int // 0 is -q, 1 the default
	atomic      bool
	dryRun      bool
	leases      map[string]git.OID // what a ref must be at; zero: it must not exist
	pushOptions []string
	formats     bool // print :object-format
}

// answer is the line to reply with.
func (o *remoteOptions) answer(line string) string {
	name, value, err := git.ParseOption(line)
	if err == nil {
		err = o.set(name, value)
	}
	switch {
	case errors.Is(err, errUnsupported):
		return "unsupported"
	case err != nil:
		return "error " + plainText(err.Error(), messageBytesMax)
	}
	return "ok"
}

func (o *remoteOptions) set(name, value string) (err error) {
	switch name {
	case "progress":
		o.progress, err = parseBool(value)
	case "verbosity":
		o.verbosity, err = strconv.Atoi(value)
	case "atomic":
		o.atomic, err = parseBool(value)
	case "dry-run":
		o.dryRun, err = parseBool(value)
	case "force-if-includes":
		_, err = parseBool(value) // git has checked it against the reflog before it asks us
	case "cas":
		err = o.addLease(value)
	case "push-option":
		err = o.addPushOption(value)
	case "pushcert":
		// A push is always signed, but not with the certificate that this asks for.
		if value == "true" {
			err = errUnsupported
		}
	case "object-format":
		// Git 2.45 says "true", older ones nothing; a name would choose a format.
		if value != "" && value != "true" {
			return errUnsupported
		}
		o.formats = true
	default:
		err = errUnsupported
	}
	return err
}

func (o *remoteOptions) addLease(value string) error {
	ref, oid, err := git.ParseLease(value)
	if err != nil {
		return err
	}
	if len(o.leases) >= refsMax {
		return fmt.Errorf("more than %d leases", refsMax)
	}
	if o.leases == nil {
		o.leases = map[string]git.OID{}
	}
	o.leases[ref] = oid
	return nil
}

func (o *remoteOptions) addPushOption(value string) error {
	switch {
	case !utf8.ValidString(value):
		return errors.New("a push option must be UTF-8")
	case len(o.pushOptions) >= pushOptionsMax:
		return fmt.Errorf("more than %d push options", pushOptionsMax)
	}
	o.pushOptions = append(o.pushOptions, value)
	return nil
}

func parseBool(value string) (bool, error) {
	switch value {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%.100q is neither true nor false", value)
}

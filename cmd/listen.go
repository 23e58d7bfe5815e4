package cmd

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// portFlag is where to listen: "-1" or nothing is nowhere, "0" a free port on
// loopback, "8022" that port on loopback, "192.0.2.1:8022" exactly there. Its
// value is host:port, or empty.
type portFlag string

// Decode implements [kong.MapperValue]. Ports in the config file are numbers.
func (p *portFlag) Decode(ctx *kong.DecodeContext) error {
	token, err := ctx.Scan.PopValue("port")
	if err != nil {
		return err
	}
	text := fmt.Sprint(token.Value)
	if number, ok := token.Value.(float64); ok {
		text = strconv.FormatFloat(number, 'f', -1, 64)
	}
	addr, err := parsePort(text)
	if err != nil {
		return err
	}
	*p = portFlag(addr)
	return nil
}

func parsePort(text string) (addr string, err error) {
	if text == "" || text == "-1" {
		return "", nil
	}
	host, port := "127.0.0.1", text
	if strings.Contains(text, ":") {
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", fmt.Errorf("want a port, or HOST:PORT, not %.80q", text)
		}
		if host == "" {
			return "", errors.New("name the address to listen on, 127.0.0.1 or 0.0.0.0 for instance")
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("want a port between 0 and 65535, or -1 for none, not %.80q", text)
	}
	return net.JoinHostPort(host, port), nil
}

// joinOff spells "--grpc-port -1" as "--grpc-port=-1", which kong does not take
// for a flag called 1.
func joinOff(args []string) []string {
	var out []string
	for _, arg := range args {
		if last := len(out) - 1; arg == "-1" && last >= 0 && (out[last] == "--http" || strings.HasPrefix(out[last], "--") && strings.HasSuffix(out[last], "-port")) {
			out[last] += "=-1"
			continue
		}
		out = append(out, arg)
	}
	return out
}

package transport

import (
	"os/exec"
	"strings"
	"testing"
)

// The root go-libp2p package links WebRTC and WebTransport, seven megabytes
// that nothing here uses; no build tag leaves them out again.
func TestLeavesOutTheRootPackage(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		if pkg == "github.com/libp2p/go-libp2p" || strings.Contains(pkg, "pion/") || strings.Contains(pkg, "webtransport") {
			t.Errorf("%s is linked", pkg)
		}
		if strings.HasPrefix(pkg, "peer/") && pkg != "peer/identity" && pkg != "peer/wire" && pkg != "peer/node/transport" {
			t.Errorf("%s is imported; identity and wire alone may be", pkg)
		}
	}
}

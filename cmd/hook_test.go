package cmd

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// receiverSecret signs what [receiver] takes.
const receiverSecret = "it's a secret"

// receiver FILE [ADDR]: takes what hooks post, and adds it to FILE, a line each: the
// event, its payload, and whether the signature is good. $RECEIVER is its address;
// "receiver stop" ends the last one.
func receiver(ts *testscript.TestScript, _ bool, args []string) {
	if args[0] == "stop" {
		(*ts.Value(receiverKey{}).(**httptest.Server)).Close()
		return
	}
	path := ts.MkAbs(args[0])
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		mac := hmac.New(sha256.New, []byte(receiverSecret))
		mac.Write(body)
		good := hmac.Equal([]byte(q.Header.Get("X-Peer-Signature-256")), []byte("sha256="+hex.EncodeToString(mac.Sum(nil))))
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			fmt.Fprintf(file, "%s %s %t\n", q.Header.Get("X-Peer-Event"), body, good)
			err = file.Close()
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	if len(args) > 1 {
		listener, err := net.Listen("tcp", strings.TrimPrefix(args[1], "http://"))
		ts.Check(err)
		server.Listener.Close()
		server.Listener = listener
	}
	server.Start()
	ts.Defer(server.Close)
	ts.Setenv("RECEIVER", server.URL)
	*ts.Value(receiverKey{}).(**httptest.Server) = server
}

type receiverKey struct{}

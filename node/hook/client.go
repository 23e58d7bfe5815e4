package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	// deliveryTimeout bounds one attempt: looking up, connecting, the receiver's answer.
	deliveryTimeout = 10 * time.Second
	headerBytesMax  = 16 << 10 // of an answer
)

// delivery is one request, the same at each attempt.
type delivery struct {
	url, event, id string
	secret, body   []byte
}

// client posts deliveries. Each has a connection of its own; it asks no proxy,
// follows no redirect, and does not read what an answer contains.
type client struct {
	userAgent string
	timeout   time.Duration
	http      *http.Client
}

func newClient(userAgent string, timeout time.Duration, allowPrivate bool) *client {
	dialer := &net.Dialer{}
	if !allowPrivate {
		dialer.Control = dialPublic
	}
	return &client{userAgent: userAgent, timeout: timeout, http: &http.Client{
		Transport: &http.Transport{
			Proxy:       nil, // the environment's may lead anywhere
			DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: headerBytesMax,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post returns nil where the receiver took the delivery.
func (c *client) post(ctx context.Context, d delivery) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %s", c.timeout))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.url, bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", c.userAgent)
	r.Header.Set("X-Peer-Event", d.event)
	r.Header.Set("X-Peer-Delivery", d.id)
	if len(d.secret) > 0 {
		r.Header.Set("X-Peer-Signature-256", sign(d.secret, d.body))
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return explain(ctx, err)
	}
	answer.Body.Close()
	switch code := answer.StatusCode; {
	case code >= 300 && code < 400:
		return fmt.Errorf("it answers %d %s, and redirects are not followed", code, http.StatusText(code))
	case code < 200 || code >= 300:
		return fmt.Errorf("it answers %d %s", code, http.StatusText(code))
	}
	return nil
}

// explain says what happened in fewer words than net/http.
func explain(ctx context.Context, err error) error {
	var private *PrivateError
	var op *net.OpError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &private):
		return private
	case errors.As(err, &op):
		return op
	}
	return errors.Unwrap(err) // of *url.Error, which http.Client promises
}

// sign is what GitHub calls X-Hub-Signature-256.
func sign(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

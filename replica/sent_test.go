package replica

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// TestSentCheck holds answers against the transaction that they are to be about.
func TestSentCheck(t *testing.T) {
	t.Parallel()
	p := newProofs(t, "demo")
	sent, err := NewSent(writer, p.g, bytes.Repeat([]byte{7}, TransactionIDBytes), &wire.Transaction{Operations: []*wire.Operation{move("heads/main", 6, 7)}})
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(sent.Signed, p.log[6]) {
		t.Fatal("entry 8 is another transaction")
	}
	hash := sha256.Sum256(sent.Signed.GetBody())
	public := writer.Public()
	good := func(edit func(*wire.PushDone)) *wire.PushDone {
		r := p.receipt(8, 8, p.at(1, 8), p.at(2, 8))
		r.Genesis, r.Transaction = nil, nil
		d := &wire.PushDone{Replicas: 3, Durable: 9, Receipt: r, Outcome: &wire.Outcome{
			Id: sent.Transaction.GetId(), Signer: public[:], TxSha256: hash[:], Index: 8, Term: 2, Results: []*wire.Result{{Code: wire.Code_CODE_OK}},
		}}
		edit(d)
		return d
	}
	refuse := func(d *wire.PushDone) { d.Outcome.Result = &wire.Result{Code: wire.Code_CODE_NOT_ALLOWED} }
	stranger := func(d *wire.PushDone) { d.Outcome.Signer = make([]byte, 32) }
	for name, c := range map[string]struct {
		done      *wire.PushDone
		maybe, ok bool
	}{
		"good":                        {done: good(func(*wire.PushDone) {}), ok: true},
		"good, after a lost answer":   {done: good(func(*wire.PushDone) {}), maybe: true, ok: true},
		"no receipt":                  {done: good(func(d *wire.PushDone) { d.Receipt = nil }), ok: true},
		"a refusal":                   {done: good(refuse), maybe: true, ok: true},
		"a refusal of nobody's":       {done: good(func(d *wire.PushDone) { refuse(d); stranger(d) }), ok: true},
		"another's, when it may be":   {done: good(func(d *wire.PushDone) { refuse(d); stranger(d) }), maybe: true},
		"nothing":                     {done: &wire.PushDone{}},
		"another signer's":            {done: good(stranger)},
		"another ID's":                {done: good(func(d *wire.PushDone) { d.Outcome.Id = []byte("another") })},
		"of other bytes":              {done: good(func(d *wire.PushDone) { d.Outcome.TxSha256 = d.Outcome.TxSha256[:31] })},
		"of two operations":           {done: good(func(d *wire.PushDone) { d.Outcome.Results = append(d.Outcome.Results, &wire.Result{}) })},
		"a receipt by a minority":     {done: good(func(d *wire.PushDone) { d.Receipt.Signatures = d.Receipt.Signatures[:1] })},
		"a receipt of another index":  {done: good(func(d *wire.PushDone) { d.Outcome.Index++ })},
		"a receipt of another term":   {done: good(func(d *wire.PushDone) { d.Outcome.Term++ })},
		"a receipt of another's push": {done: good(func(d *wire.PushDone) { d.Receipt = p.receipt(9, 9, p.at(1, 9), p.at(2, 9)); d.Outcome.Index = 9 })},
	} {
		sent.Maybe = c.maybe
		d, err := sent.Check(c.done)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && d.Receipt != nil && (d.Durable != 2 || d.Replicas != 3 || d.Receipt.Index != 8) {
			t.Errorf("%s: %d of %d replicas, entry %d", name, d.Durable, d.Replicas, d.Receipt.Index)
		}
	}
	sent.Maybe = false
	if d, err := sent.Check(good(func(d *wire.PushDone) { d.Receipt = nil })); err != nil || d.Durable != 3 {
		t.Errorf("more replicas than there are: %+v, %v", d, err)
	}
}

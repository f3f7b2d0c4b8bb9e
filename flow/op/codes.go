// Codes: which codes the token endpoint has seen, so that each works once.

package op

import (
	"crypto/sha256"
	"maps"
	"sync"
	"time"
)

// codesKept is the number of codes remembered at a time.
const codesKept = 10_000

// Codes remembers the codes that reached the token endpoint of this node, for
// about a minute each. One value serves all configurations of a gate and
// outlives them. All methods may be called concurrently.
type Codes struct {
	now func() time.Time

	mu      sync.Mutex
	records map[[sha256.Size]byte]codeRecord // by the code's digest
	sweep   time.Time                        // when to look for expired records
}

// codeRecord is what happened to a code at the token endpoint.
type codeRecord struct {
	redeemed bool      // RomM got an ID token for it, so it is used up
	refusal  string    // the reason why the latest request was refused, or empty
	forget   time.Time // when the code has long expired
}

// NewCodes returns an empty Codes; now is the clock.
func NewCodes(now func() time.Time) *Codes {
	return &Codes{now: now, records: map[[sha256.Size]byte]codeRecord{}}
}

// Outcome tells the caller of Code, once RomM has answered, what happened at
// this node's token endpoint: whether RomM sent a token request with the code,
// and why that was refused, empty if it got an ID token. Codes that this gate
// did not make are not remembered. With several nodes behind the address that
// RomM dials, the request may have arrived at another node.
func (p *Provider) Outcome(code string) (requested bool, refusal string) {
	record, requested := p.codes.record(code)
	return requested, record.refusal
}

func (c *Codes) record(code string) (codeRecord, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	record, ok := c.records[sha256.Sum256([]byte(code))]
	return record, ok
}

// redeem marks a genuine code as redeemed. It succeeds once per code.
func (c *Codes) redeem(code string, content codeContent) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	key := sha256.Sum256([]byte(code))
	c.forgetExpired(now)
	record, known := c.records[key]
	switch {
	case record.redeemed:
		record.refusal = reasonUsed
		c.records[key] = record
		return errUsed
	case now.UnixMilli() >= content.Expires:
		c.remember(key, content, codeRecord{refusal: reasonExpired})
		return errExpired
	case !known && len(c.records) >= codesKept:
		// A code that cannot be remembered could be redeemed again.
		return errUnavailable
	}
	c.remember(key, content, codeRecord{redeemed: true})
	return nil
}

// refuse records why a genuine code was not redeemed. The code stays valid:
// otherwise an attacker could use it up by guessing secrets.
func (c *Codes) refuse(code string, content codeContent, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetExpired(c.now())
	key := sha256.Sum256([]byte(code))
	c.remember(key, content, codeRecord{redeemed: c.records[key].redeemed, refusal: reason})
}

// remember needs c.mu. When c is full, it drops a new record: a code that was
// not redeemed must not displace one that was.
func (c *Codes) remember(key [sha256.Size]byte, content codeContent, record codeRecord) {
	if _, known := c.records[key]; !known && len(c.records) >= codesKept {
		return
	}
	now := c.now()
	left := min(max(0, time.UnixMilli(content.Expires).Sub(now)), codeLifetime) // the clock may have been set after the code was issued
	record.forget = now.Add(left + codeLifetime)
	c.records[key] = record
}

// forgetExpired needs c.mu. It does its work once per codeLifetime, and
// whenever c is full.
func (c *Codes) forgetExpired(now time.Time) {
	if now.Before(c.sweep) && len(c.records) < codesKept {
		return
	}
	c.sweep = now.Add(codeLifetime)
	maps.DeleteFunc(c.records, func(_ [sha256.Size]byte, record codeRecord) bool {
		return now.After(record.forget)
	})
}

// Discovery: when the provider's metadata are read, and by how many requests.

package flow

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	// discoveryTimeout bounds one attempt to read the provider's metadata.
	discoveryTimeout = 10 * time.Second
	// discoveryPause is the shortest time between two failed attempts; a random
	// part of up to half of it is added.
	discoveryPause = time.Second
	// discoveryAge is the age at which metadata are read again in the background.
	discoveryAge = time.Hour
	// reachableFor is how long metadata that were just read prove that the
	// provider is reachable.
	reachableFor = 10 * time.Second
)

// Discover reads the provider's metadata if they are not known yet. All callers
// share one attempt, and after a failure the next attempt waits for a second
// or more. Errors match ErrProviderUnavailable.
func (rp *RelyingParty) Discover(ctx context.Context) error {
	_, err := rp.metadata(ctx)
	return err
}

// AuthorizationEndpoint returns the URL of the authorization endpoint. Errors
// match ErrProviderUnavailable.
func (rp *RelyingParty) AuthorizationEndpoint(ctx context.Context) (string, error) {
	md, err := rp.metadata(ctx)
	if err != nil {
		return "", err
	}
	return md.authorizationEndpoint, nil
}

// metadata returns the provider's metadata, as described at Discover. Known
// metadata are returned at once, however old.
func (rp *RelyingParty) metadata(ctx context.Context) (*metadata, error) {
	rp.mu.Lock()
	now := rp.config.Now()
	known, failed := rp.known, rp.failed
	fresh := known != nil && now.Sub(rp.loaded) < discoveryAge
	var attempt <-chan singleflight.Result
	if !fresh && !now.Before(rp.nextTry) {
		attempt = rp.discover(ctx)
	}
	rp.mu.Unlock()
	switch {
	case known != nil:
		return known, nil
	case attempt == nil:
		return nil, failed
	}
	select {
	case result := <-attempt:
		md, _ := result.Val.(*metadata)
		return md, result.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: waiting for its metadata: %w", ErrProviderUnavailable, ctx.Err())
	}
}

// discover starts an attempt to read the metadata, or joins the one in
// progress. An attempt does not end with the request that started it, but with
// discoveryTimeout. It needs rp.mu, so that an attempt cannot end between the
// caller's decision and its start.
func (rp *RelyingParty) discover(ctx context.Context) <-chan singleflight.Result {
	return rp.discovery.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discoveryTimeout)
		defer cancel()
		md, err := rp.readMetadata(ctx)
		rp.mu.Lock()
		defer rp.mu.Unlock()
		if err != nil {
			rp.failed, rp.nextTry = err, rp.config.Now().Add(discoveryPause+Jitter(discoveryPause/2))
			return nil, err
		}
		rp.known, rp.loaded, rp.failed, rp.nextTry = md, rp.config.Now(), nil, time.Time{}
		return md, nil
	})
}

// Reachable reports whether the provider answers now, so that the gate does not
// send a browser to an error. It reads the metadata again, unless that happened
// in the last 10 s, with one attempt for all callers. It waits until ctx ends.
func (rp *RelyingParty) Reachable(ctx context.Context) bool {
	rp.mu.Lock()
	now := rp.config.Now()
	recent := rp.known != nil && now.Sub(rp.loaded) < reachableFor
	if recent || now.Before(rp.nextTry) {
		rp.mu.Unlock()
		return recent
	}
	attempt := rp.discover(ctx)
	rp.mu.Unlock()
	select {
	case result := <-attempt:
		return result.Err == nil
	case <-ctx.Done():
		return false
	}
}

// contradicted reads the metadata again, in the background, because something did
// not go together with them: an endpoint is gone, or an ID token is signed by a key
// that is not at jwks_uri. The provider may have moved. What was read in the last
// 10 s is believed.
func (rp *RelyingParty) contradicted(ctx context.Context) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	if now := rp.config.Now(); rp.known != nil && now.Sub(rp.loaded) >= reachableFor && !now.Before(rp.nextTry) {
		rp.discover(ctx)
	}
}

// Loaded returns when the known metadata were read, zero if there are none, and
// the error of the last attempt to read them, nil if it succeeded.
func (rp *RelyingParty) Loaded() (time.Time, error) {
	rp.mu.Lock()
	defer rp.mu.Unlock()
	return rp.loaded, rp.failed
}

// Jitter returns a random duration below limit, which must be positive, so that
// callers that failed together do not try again together.
func Jitter(limit time.Duration) time.Duration {
	var random [8]byte
	_, _ = rand.Read(random[:])                                              // never fails (crypto/rand)
	return time.Duration(binary.BigEndian.Uint64(random[:]) % uint64(limit)) //nolint:gosec // limit is positive
}

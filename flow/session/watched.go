// The storage as the whole gate uses it: each call is noted and bounded.

package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
)

// watchedStorage passes calls to a storage on, and notes their results. No call
// lasts beyond the deadline of its context, even if the storage ignores that, as a
// hung network file system does.
type watchedStorage struct {
	keyring.Storage
	store *Store
}

// Lock implements keyring.Storage. Its time limit is no failure: another node
// may have the lock. One that is granted too late is released.
func (w watchedStorage) Lock(ctx context.Context, name string) error {
	_, end := span.Start(ctx, SpanLock)
	_, err := until(ctx, func() (struct{}, error) {
		return struct{}{}, w.Storage.Lock(ctx, name)
	}, func() { _ = w.Storage.Unlock(context.WithoutCancel(ctx), name) })
	end(err)
	if ctx.Err() == nil {
		w.store.noteWrite("Lock", err)
	}
	return err
}

// Unlock implements keyring.Storage. It takes storeLimit at most.
func (w watchedStorage) Unlock(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	_, err := until(ctx, func() (struct{}, error) { return struct{}{}, w.Storage.Unlock(ctx, name) }, nil)
	return err
}

// Store implements keyring.Storage.
func (w watchedStorage) Store(ctx context.Context, key string, value []byte) error {
	_, err := watch(ctx, "Store", w.store.noteWrite, func() (struct{}, error) { return struct{}{}, w.Storage.Store(ctx, key, value) })
	return err
}

// Delete implements keyring.Storage.
func (w watchedStorage) Delete(ctx context.Context, key string) error {
	_, err := watch(ctx, "Delete", w.store.noteWrite, func() (struct{}, error) { return struct{}{}, w.Storage.Delete(ctx, key) })
	return err
}

// Load implements keyring.Storage.
func (w watchedStorage) Load(ctx context.Context, key string) ([]byte, error) {
	return watch(ctx, "Load", w.store.noteRead, func() ([]byte, error) { return w.Storage.Load(ctx, key) })
}

// List implements keyring.Storage.
func (w watchedStorage) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	return watch(ctx, "List", w.store.noteRead, func() ([]string, error) { return w.Storage.List(ctx, path, recursive) })
}

// watch runs one call. An absent value is an answer, and a caller that gave up
// is no failure of storage.
func watch[T any](ctx context.Context, method string, note func(string, error), call func() (T, error)) (T, error) {
	return until(ctx, func() (T, error) {
		stuck := time.AfterFunc(stuckAfter, func() { note(method, errStuck) })
		defer stuck.Stop()
		_, end := span.Start(ctx, spans[method])
		value, err := call()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			end(nil)
			note(method, nil)
			return value, err
		case err == nil || !errors.Is(context.Cause(ctx), context.Canceled):
			note(method, err)
		}
		end(err)
		return value, err
	}, nil)
}

// until returns the result of call, or an error at the deadline of ctx. It waits for
// call if the caller leaves before that, so that nothing is unlocked during a write.
// If call succeeds later, until calls undo, which may be nil.
func until[T any](ctx context.Context, call func() (T, error), undo func()) (T, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return call()
	}
	type result struct {
		value T
		err   error
	}
	results, late := make(chan result), make(chan struct{})
	go func() {
		var r result
		func() {
			defer recovered(&r.err)
			r.value, r.err = call()
		}()
		select {
		case results <- r:
		case <-late:
			if r.err == nil && undo != nil {
				defer recovered(&r.err)
				undo()
			}
		}
	}()
	ended, atDeadline := ctx.Done(), (<-chan time.Time)(nil) // one of them, the other is nil
	for {
		select {
		case r := <-results:
			return r.value, r.err
		case <-ended:
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				ended, atDeadline = nil, time.After(time.Until(deadline))
				continue
			}
		case <-atDeadline:
		}
		close(late)
		var none T
		return none, fmt.Errorf("waiting for storage: %w", context.DeadlineExceeded)
	}
}

// Bounds on calls to storage: one call shared by many callers, a time limit
// even if storage ignores its context, and panics turned into errors.

package session

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"
)

// flight runs the same work once for all callers that ask at the same time.
type flight[T any] struct{ group singleflight.Group }

// do runs work once for all concurrent callers with the same key and returns
// its result. Work continues, for at most limit, if a caller gives up. No caller
// waits longer than limit, even if storage ignores its context.
func (f *flight[T]) do(ctx context.Context, key string, limit time.Duration, work func(context.Context) (T, error)) (T, error) {
	results := f.group.DoChan(key, func() (result any, err error) {
		defer recovered(&err)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
		defer cancel()
		return work(ctx)
	})
	waiting, cancel := context.WithTimeout(ctx, limit) // the limit inside is only work's
	defer cancel()
	select {
	case <-waiting.Done():
		var zero T
		return zero, fmt.Errorf("waiting for storage: %w", context.Cause(waiting))
	case result := <-results:
		value, _ := result.Val.(T) // the zero value after a panic
		return value, result.Err
	}
}

// within runs work and waits at most limit for it, even if storage ignores its
// context, as a hung network file system does.
func within(ctx context.Context, limit time.Duration, work func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	done := make(chan error, 1)
	go func() {
		defer cancel()
		var err error
		defer func() { done <- err }()
		defer recovered(&err)
		err = work(ctx)
	}()
	select {
	case <-ctx.Done():
		select {
		case err := <-done: // work returned, and its cancel ended ctx
			return err
		default:
			return fmt.Errorf("waiting for storage: %w", context.Cause(ctx))
		}
	case err := <-done:
		return err
	}
}

// recovered turns a panic in a storage module into an error. Outside of a
// request's goroutine it would end the process.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("storage panicked: %v", p)
	}
}

// Tests of the storage that other tests rely on.

package keyringtest_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

var _ keyring.Storage = (*keyringtest.Storage)(nil)

func TestValues(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), keyringtest.New()
	for _, key := range []string{"a/b/1", "a/b/2", "a/c", "ab/1"} {
		if err := s.Store(ctx, key, []byte(key)); err != nil {
			t.Fatalf("Store(%s) = %v, want no error", key, err)
		}
	}
	if value, err := s.Load(ctx, "a/b/1"); string(value) != "a/b/1" || err != nil {
		t.Errorf("Load = %q, %v, want the stored value", value, err)
	}
	if _, err := s.Load(ctx, "a/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a folder = %v, want fs.ErrNotExist", err)
	}
	if keys, err := s.List(ctx, "a", false); !slices.Equal(keys, []string{"a/b", "a/c"}) || err != nil {
		t.Errorf("List = %q, %v, want a/b and a/c", keys, err)
	}
	if keys, err := s.List(ctx, "a", true); !slices.Equal(keys, []string{"a/b/1", "a/b/2", "a/c"}) || err != nil {
		t.Errorf("recursive List = %q, %v, want the three keys of a", keys, err)
	}
	if err := s.Delete(ctx, "a/b"); err != nil || !slices.Equal(s.Keys(""), []string{"a/c", "ab/1"}) {
		t.Errorf("Delete of a folder: %v, left %q, want a/c and ab/1", err, s.Keys(""))
	}
	if _, err := s.List(ctx, "a/b", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List of an absent folder = %v, want fs.ErrNotExist", err)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), keyringtest.New()
	s.Fail(keyringtest.ErrUnavailable, "Store")
	if err := s.Store(ctx, "a/1", nil); !errors.Is(err, keyringtest.ErrUnavailable) || len(s.Keys("")) != 0 {
		t.Errorf("Store = %v, want ErrUnavailable and nothing stored", err)
	}
	s.Fail(nil, "Store")
	for _, key := range []string{"a/1", "a/2", "a/3"} {
		if err := s.Store(ctx, key, nil); err != nil {
			t.Errorf("Store after the fault ended: %v, want no error", err)
		}
	}
	s.Fail(keyringtest.ErrUnavailable)
	if _, err := s.Load(ctx, "a/1"); !errors.Is(err, keyringtest.ErrUnavailable) {
		t.Errorf("Load = %v, want ErrUnavailable", err)
	}
	s.Fail(nil)
	s.Before(func(_ context.Context, method, key string) error {
		if method == "Load" && key == "a/1" {
			return fs.ErrPermission
		}
		return nil
	})
	if _, err := s.Load(ctx, "a/1"); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Load = %v, want the hook's error", err)
	}
	if got := s.Calls("Store", "Load"); got != 6 {
		t.Errorf("%d calls of Store and Load, want 6", got)
	}
}

func TestLocksExclude(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keyringtest.New()
		if err := s.Lock(t.Context(), "l"); err != nil || !slices.Equal(s.Locked(), []string{"l"}) {
			t.Fatalf("Lock = %v, locked %q, want l", err, s.Locked())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Lock(ctx, "l"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("second Lock = %v, want it to wait until the context ends", err)
		}
		if err := s.Unlock(ctx, "l"); err == nil || len(s.Locked()) != 1 {
			t.Errorf("Unlock with an ended context = %v, want an error and the lock held", err)
		}
		if err := s.Unlock(t.Context(), "l"); err != nil || len(s.Locked()) != 0 {
			t.Errorf("Unlock = %v, locked %q, want nothing", err, s.Locked())
		}
		if err := s.Unlock(t.Context(), "l"); err == nil {
			t.Error("Unlock of a free lock succeeded, want an error")
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, begin := keyringtest.New(), time.Now()
		s.Delay(time.Second)
		_ = s.Store(t.Context(), "a", nil)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("Store took %s, want 1s", took)
		}
	})
}

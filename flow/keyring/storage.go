// Storage: where a gate keeps its state.

package keyring

import "context"

// Storage is the part of certmagic.Storage that the gate uses, so that
// sessions live where Caddy's certificates do. Load returns an error that
// matches fs.ErrNotExist if the key is absent; on some backends, List does so
// for an absent path. There is no compare-and-swap: callers that read, change
// and write a value hold a Lock while they do so.
type Storage interface {
	Lock(ctx context.Context, name string) error
	Unlock(ctx context.Context, name string) error
	Store(ctx context.Context, key string, value []byte) error
	Load(ctx context.Context, key string) ([]byte, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, path string, recursive bool) ([]string, error)
}

// StoragePrefix returns the folder of a gate's state in a Storage.
func StoragePrefix(gate string) string { return "romm_oidc/" + gate }

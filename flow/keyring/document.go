// Document: one of a gate's JSON documents in storage, and what becomes of it
// if it cannot be read.

package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrNotJSON says that a document is not JSON at all: empty, cut short, or
// zeros, as a full disk or a power cut leaves it. Nothing in it is of use, so
// the caller replaces it.
var ErrNotJSON = errors.New("it is not JSON: a write was cut off, or something else wrote it")

// DocumentError says why a document cannot be used, and what the operator does
// about it. It comes only for what storage returned, never because storage did
// not answer.
type DocumentError struct {
	Key    string // in storage
	Remedy string
	Cause  error
}

// Error names the document, the cause and the remedy.
func (e *DocumentError) Error() string {
	return fmt.Sprintf("%s cannot be used: %s; %s", e.Key, e.Cause, e.Remedy)
}

// Unwrap returns the cause.
func (e *DocumentError) Unwrap() error { return e.Cause }

// Document is a JSON document with a version. Nodes change it under the storage
// lock of the same name.
type Document struct {
	Storage Storage
	Name    string // in errors, for instance "the keyring"
	Key     string
	Version int    // the latest version that this module can read
	Remedy  string // for the operator, if the document is JSON but cannot be used
}

// Read decodes the document into target. It returns a DocumentError if the
// document cannot be used, one that matches ErrNotJSON if it is not JSON. Other
// errors are those of storage.
func (d Document) Read(ctx context.Context, target any) error {
	encoded, err := d.Storage.Load(ctx, d.Key)
	if err != nil {
		return fmt.Errorf("loading %s: %w", d.Name, err)
	}
	if !json.Valid(encoded) {
		return &DocumentError{d.Key, "it will be put aside and replaced", ErrNotJSON}
	}
	var header struct {
		Version int `json:"version"`
	}
	// The version first: a later one may have another shape.
	if err := json.Unmarshal(encoded, &header); err == nil && header.Version > d.Version {
		return &DocumentError{
			d.Key, "update this Caddy to that version of the module",
			fmt.Errorf("a newer version of this module wrote it (version %d)", header.Version),
		}
	}
	if err := json.Unmarshal(encoded, target); err != nil {
		return d.Unusable(err)
	}
	return nil
}

// Unusable returns the error for a document that is JSON but not what it should be.
func (d Document) Unusable(cause error) error { return &DocumentError{d.Key, d.Remedy, cause} }

// Store encodes and stores the document. The caller holds the lock.
func (d Document) Store(ctx context.Context, document any) error {
	encoded, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", d.Name, err)
	}
	if err := d.Storage.Store(ctx, d.Key, encoded); err != nil {
		return fmt.Errorf("storing %s: %w", d.Name, err)
	}
	return nil
}

// PutAside stores a copy of the document that is not JSON, and returns the
// copy's key. The caller holds the lock and then stores another document.
func (d Document) PutAside(ctx context.Context, now time.Time) (string, error) {
	encoded, err := d.Storage.Load(ctx, d.Key)
	if err != nil {
		return "", fmt.Errorf("loading %s: %w", d.Name, err)
	}
	aside := d.Key + ".broken-" + now.UTC().Format("20060102T150405Z")
	if err := d.Storage.Store(ctx, aside, encoded); err != nil {
		return "", fmt.Errorf("putting %s aside: %w", d.Name, err)
	}
	return aside, nil
}

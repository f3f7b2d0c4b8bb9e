package command

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/romm-oidc/caddy-romm-oidc/handler/admin"
)

func keys() *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "Manages the keys that seal what is stored and sign RomM's ID tokens"}
	c.AddCommand(&cobra.Command{Use: "rotate", Short: "Makes new keys", Args: cobra.NoArgs, RunE: rotateKeys})
	return c
}

func rotateKeys(c *cobra.Command, _ []string) error {
	var result struct {
		Rotated int `json:"rotated"`
	}
	if err := ask(c, http.MethodPost, admin.RotatePath, &result); err != nil {
		return err
	}
	if result.Rotated == 0 {
		return errors.New("this Caddy has no gate: is romm_oidc in its configuration?")
	}
	_, _ = fmt.Fprintln(c.OutOrStdout(), "New keys are stored. They come into use in an hour, when every Caddy knows them. No session ends.")
	return nil
}

package devstack

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/rueidis"
)

// slots is how many a Redis Cluster has.
const slots = 16384

// AddCluster starts a Redis Cluster of n masters without replicas, and returns when
// each knows of all slots.
func (s *Stack) AddCluster(ctx context.Context, n int) ([]*Redis, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	nodes := make([]*Redis, n)
	for i := range nodes {
		bus, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		nodes[i], err = s.addRedis(ctx, "cluster", nil, []string{
			"cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000", "cluster-port " + strconv.Itoa(bus),
		})
		if err != nil {
			return nil, err
		}
		first, last := i*slots/n, (i+1)*slots/n-1
		if err := nodes[i].run(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)); err != nil {
			return nil, err
		}
		if err := nodes[i].run(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)); err != nil {
			return nil, err
		}
		if err := nodes[0].run(ctx, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(nodes[i].Port), strconv.Itoa(bus)); err != nil {
			return nil, err
		}
	}
	for _, r := range nodes {
		if err := r.now.ready(ctx, r.complete); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

var errIncomplete = errors.New("devstack: the cluster is not complete")

func (r *Redis) complete(ctx context.Context) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := c.Do(ctx, c.B().ClusterInfo().Build()).ToString()
	if err == nil && !strings.Contains(info, "cluster_state:ok") {
		return errIncomplete
	}
	return err
}

func (r *Redis) run(ctx context.Context, command ...string) error {
	c, err := r.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(ctx, c.B().Arbitrary(command...).Build()).Error()
}

func (r *Redis) client() (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{r.Addr()}, Username: "default", Password: r.password, ForceSingleClient: true, DisableCache: true,
	})
}

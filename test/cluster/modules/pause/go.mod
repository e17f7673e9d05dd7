module fairway.dev/cluster/pause

go 1.21

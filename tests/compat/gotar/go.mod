module cosinspect.test/gotar

go 1.19
